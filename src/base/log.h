/*
 * One line per event: to stderr while somebody watches, to syslog after.
 * Any thread, once log_to_syslog has returned or has not been called yet.
 */
#ifndef RMFS_BASE_LOG_H
#define RMFS_BASE_LOG_H

#include <stdbool.h>

/* Name the program; lines on stderr start with it. Default "rmfs". */
void log_name(const char *program);

/* Show log_debug lines too. */
void log_verbose(bool on);

/* From here on to syslog (LOG_DAEMON): the terminal is somebody else's. */
void log_to_syslog(void);

/* Each writes one line, without a newline in @format. errno is kept. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

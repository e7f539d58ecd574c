/*
 * The check value of the text forms, for who has to make one.
 */
#ifndef RMM_CORE_TEXT_H
#define RMM_CORE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* CRC32C of @len bytes (RFC 3720 appendix B.4). */
uint32_t text_crc(const char *text, size_t len);

#endif

/*
 * The diary of the load: what it did to which slot and what it was shown, one
 * line each, appended before it acts and after it has seen. Whoever judges what
 * a crash left behind reads it back.
 *
 *   POSITION SLOT write CRC          bytes of this checksum are on their way
 *   POSITION SLOT seen CRC complete  the receipt was there and said so
 *   POSITION SLOT seen CRC durable
 *   POSITION SLOT revoke 00000000    the receipt is about to be taken away
 *
 * POSITION is the number of entries that the log of the device's writes was
 * known to have; 0 without such a log. It is read before the line is written,
 * and so: what was seen lies in earlier entries, what follows in later ones.
 */
#ifndef TESTS_CRASH_DIARY_H
#define TESTS_CRASH_DIARY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { DIARY_SLOT_SIZE = 64 };

enum diary_event { DIARY_WRITE, DIARY_COMPLETE, DIARY_DURABLE, DIARY_REVOKE };

struct diary_line {
	uint64_t position;
	char slot[DIARY_SLOT_SIZE];
	enum diary_event event;
	uint32_t crc;
};

static const char *const diary_words[] = {
	[DIARY_WRITE] = "write %08x",
	[DIARY_COMPLETE] = "seen %08x complete",
	[DIARY_DURABLE] = "seen %08x durable",
	[DIARY_REVOKE] = "revoke %08x",
};

/* Print a line into @text. Returns its length. */
static inline size_t diary_print(
	const struct diary_line *line, char *text, size_t size)
{
	char words[48];
	int n;

	snprintf(words, sizeof(words), diary_words[line->event], line->crc);
	n = snprintf(text, size, "%llu %s %s\n",
		(unsigned long long)line->position, line->slot, words);
	return n < 0 ? 0 : (size_t)n;
}

/* Read a line back. Returns 0, or -1: it is none. */
static inline int diary_parse(const char *text, struct diary_line *line)
{
	unsigned long long position;
	char verb[8], state[16] = "";
	unsigned crc;

	if (sscanf(text, "%llu %63s %7s %8x %15s", &position, line->slot, verb,
		    &crc, state) < 4)
		return -1;
	line->position = position;
	line->crc = crc;
	if (!strcmp(verb, "write"))
		line->event = DIARY_WRITE;
	else if (!strcmp(verb, "revoke"))
		line->event = DIARY_REVOKE;
	else if (!strcmp(verb, "seen") && !strcmp(state, "complete"))
		line->event = DIARY_COMPLETE;
	else if (!strcmp(verb, "seen") && !strcmp(state, "durable"))
		line->event = DIARY_DURABLE;
	else
		return -1;
	return 0;
}

/*
 * CRC32C bit by bit through a table (RFC 3720, appendix B.4): shares no code
 * with rmfs, so that its receipts can be held against it.
 */
static inline uint32_t diary_crc(const void *bytes, size_t len)
{
	static uint32_t table[256];
	const unsigned char *p = bytes;
	uint32_t crc = UINT32_MAX;

	for (uint32_t byte = 0; !table[255] && byte < 256; byte++) {
		uint32_t r = byte;

		for (int bit = 0; bit < 8; bit++)
			r = r >> 1 ^ (r & 1 ? 0x82f63b78 : 0);
		table[byte] = r;
	}
	for (size_t i = 0; i < len; i++)
		crc = crc >> 8 ^ table[(crc ^ p[i]) & 0xff];
	return ~crc;
}

#endif

/*
 * crc32c: the CRC32C of standard input, eight hexadecimal digits.
 *
 * The table method, bit-reflected polynomial 0x82f63b78 (RFC 3720, appendix
 * B.4): shares no code with rmfs, so that a receipt can be held against it.
 */
#include <stdint.h>
#include <stdio.h>

static uint32_t table[256];

static void fill_table(void)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
		table[byte] = crc;
	}
}

int main(void)
{
	static unsigned char buf[1 << 16];
	uint32_t crc = UINT32_MAX;
	size_t got;

	fill_table();
	while ((got = fread(buf, 1, sizeof(buf), stdin)) > 0)
		for (size_t i = 0; i < got; i++)
			crc = crc >> 8 ^ table[(crc ^ buf[i]) & 0xff];
	if (ferror(stdin)) {
		perror("crc32c");
		return 1;
	}
	printf("%08x\n", ~crc);
	return 0;
}

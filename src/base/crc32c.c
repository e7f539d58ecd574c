/*
 * A CRC is a polynomial over GF(2) modulo P; bit 31 is x^0, as everywhere in
 * the reflected form. Appending n bytes multiplies what came before by x^8n,
 * and the inversions at both ends cancel out.
 */
#include "base/crc32c.h"

#include <isa-l.h>
#include <limits.h>

#define POLYNOMIAL UINT32_C(0x82f63b78)

/* x^(2^n) mod P. P is (x + 1) times a primitive one: n counts modulo 31. */
#define POWERS 31
static const uint32_t power_of_x[POWERS] = {0x40000000, 0x20000000, 0x08000000,
	0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a,
	0xb82be955, 0xb8fdb1e7, 0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a,
	0x35d73a62, 0x28461564, 0xbf455269, 0xe2ea32dc, 0xfe7740e6, 0xf946610b,
	0x3c204f8f, 0x538586e3, 0x59726915, 0x734d5309, 0xbc1ac763, 0x7d0722cc,
	0xd289cabe, 0xe94ca9bc, 0x05b74f3f, 0xa51e1f42};

/* crc32_iscsi takes and returns the register itself, which starts as ones. */
uint32_t crc32c(uint32_t crc, const void *buf, size_t len)
{
	unsigned char *p = (unsigned char *)buf;

	crc = ~crc;
	while (len) {
		int piece = len < INT_MAX ? (int)len : INT_MAX;

		crc = crc32_iscsi(p, piece, crc);
		p += piece;
		len -= (size_t)piece;
	}
	return ~crc;
}

static uint32_t multiply(uint32_t a, uint32_t b)
{
	uint32_t product = 0;

	for (; a; a <<= 1) {
		product ^= -(a >> 31) & b;
		b = (b >> 1) ^ (-(b & 1) & POLYNOMIAL);
	}
	return product;
}

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b)
{
	unsigned n = 3; /* bits in a byte: x^8 = x^(2^3) */

	for (; len_b; len_b >>= 1, n++)
		if (len_b & 1)
			crc_a = multiply(power_of_x[n % POWERS], crc_a);
	return crc_a ^ crc_b;
}

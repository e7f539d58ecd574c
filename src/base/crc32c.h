/*
 * CRC32C (Castagnoli, reflected polynomial 0x82f63b78, RFC 3720 appendix B.4):
 * the checksum of receipts. Computed by ISA-L; combining two is ours.
 */
#ifndef RMFS_BASE_CRC32C_H
#define RMFS_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * Extend a checksum over more bytes.
 * @crc  the checksum of what came before, 0 of nothing
 * Any thread. crc32c(0, "123456789", 9) is 0xe3069283.
 */
uint32_t crc32c(uint32_t crc, const void *buf, size_t len);

/*
 * The checksum of A followed by B, from those of A and B, without the bytes.
 * @len_b  bytes of B
 * Any thread, O(log len_b).
 */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b);

#endif

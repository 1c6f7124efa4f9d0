/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuda/ptx.cuh for the host: the same functions, by the instructions' definitions (PTX ISA).
 * Included before every kernel file. Copies are made when they are waited for, and not before, so
 * that a wait which is missing shows.
 */
#ifndef PTX_HOST_H
#define PTX_HOST_H

#include "cuda_host.h"

#define LB_PTX_CUH
#define LB_SM 900 /* constants that depend on the device take the newer one's way */

/* ---- Conversions ----------------------------------------------------------------------------- */

extern "C" {
float lb_f16_to_f32(uint16_t bits); /* host/types.c */
uint16_t lb_f16_from_f32(float value);
}
inline uint16_t lb_f32_to_f16(float value)
{
    return lb_f16_from_f32(value);
}
inline uint32_t lb_sub_f16x2(uint32_t a, uint32_t b)
{
    uint32_t d = 0;
    for (int i = 0; i < 32; i += 16)
        d |= (uint32_t)lb_f16_from_f32(lb_f16_to_f32((uint16_t)(a >> i)) -
                                       lb_f16_to_f32((uint16_t)(b >> i)))
             << i;
    return d;
}
inline uint32_t lb_bytes(uint32_t a, uint32_t b, uint32_t pick)
{
    uint64_t both = a | (uint64_t)b << 32;
    uint32_t d = 0;
    for (int i = 0; i < 4; i++)
        d |= (uint32_t)(both >> (8 * (pick >> (4 * i) & 7)) & 0xff) << (8 * i);
    return d;
}

/* ---- Shared memory --------------------------------------------------------------------------- */

inline uint8_t *lb_shared()
{
    return simt::shared;
}
inline uint32_t lb_shared_address(const void *at)
{
    return simt::shared_offset(at);
}
inline void lb_copy16(uint8_t *to, const uint8_t *from, unsigned bytes)
{
    simt::shared_at(simt::shared_offset(to), 16, 16);
    if ((uintptr_t)from % 16 || bytes > 16)
        simt::fault("cp.async of %u bytes from an address of %zu mod 16", bytes,
                    (size_t)((uintptr_t)from % 16));
    auto &groups = simt::now->copies;
    if (groups.empty())
        groups.emplace_back();
    groups.back().push_back({to, from, bytes, 16 - bytes});
}
inline void lb_copy_commit()
{
    auto &groups = simt::now->copies;
    if (groups.empty())
        groups.emplace_back();
    groups.emplace_back();
}
template <int pending> inline void lb_copy_wait()
{
    auto &groups = simt::now->copies;
    while (groups.size() > 1 + pending) {
        for (const simt::copy &c : groups.front()) {
            std::memcpy(c.to, c.from, c.bytes);
            std::memset((uint8_t *)c.to + c.bytes, 0, c.zeros);
        }
        groups.erase(groups.begin());
    }
}

inline void lb_ldmatrix4(uint32_t (&d)[4], const uint8_t *row)
{
    struct lane {
        uint32_t at, d[4];
    } mine = {lb_shared_address(row), {}};
    simt::together("ldmatrix", 32, &mine, [](void **all) {
        for (int l = 0; l < 32; l++)
            for (int i = 0; i < 4; i++) {
                uint32_t at = ((lane *)all[8 * i + l / 4])->at;
                std::memcpy(&((lane *)all[l])->d[i], simt::shared_at(at, 16, 16) + l % 4 * 4, 4);
            }
    });
    std::memcpy(d, mine.d, sizeof d);
}

/* ---- Matrix products ------------------------------------------------------------------------- */

struct ptx_mma {
    uint32_t a[4], b[2];
    union {
        int i[4];
        float f[4];
    } d;
};

/* 32 bytes of row r of A and of column n of B, from the lanes that hold them. */
inline void ptx_row(void **all, int r, uint8_t (&bytes)[32])
{
    for (int i = 0; i < 8; i++)
        std::memcpy(&bytes[4 * i], &((ptx_mma *)all[r % 8 * 4 + i % 4])->a[i / 4 * 2 + r / 8], 4);
}
inline void ptx_column(void **all, int n, uint8_t (&bytes)[32])
{
    for (int i = 0; i < 8; i++)
        std::memcpy(&bytes[4 * i], &((ptx_mma *)all[n * 4 + i % 4])->b[i / 4], 4);
}

/* dot(row, column, d) gives the new d. */
template <typename T, typename Dot>
inline void ptx_product(const char *what, T (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                        Dot dot)
{
    ptx_mma mine;
    std::memcpy(mine.a, a, sizeof a);
    std::memcpy(mine.b, b, sizeof b);
    std::memcpy(&mine.d, d, sizeof d);
    simt::together(what, 32, &mine, [&](void **all) {
        uint8_t row[16][32], column[8][32];
        for (int r = 0; r < 16; r++)
            ptx_row(all, r, row[r]);
        for (int n = 0; n < 8; n++)
            ptx_column(all, n, column[n]);
        for (int r = 0; r < 16; r++)
            for (int n = 0; n < 8; n++) {
                auto &at = ((ptx_mma *)all[r % 8 * 4 + n / 2])->d;
                T value;
                std::memcpy(&value, (char *)&at + (r / 8 * 2 + n % 2) * 4, 4);
                value = dot(row[r], column[n], value);
                std::memcpy((char *)&at + (r / 8 * 2 + n % 2) * 4, &value, 4);
            }
    });
    std::memcpy(d, &mine.d, sizeof d);
}

template <bool A_U, bool B_U>
inline void lb_mma_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    ptx_product("mma", d, a, b, [](const uint8_t *x, const uint8_t *y, int sum) {
        unsigned s = (unsigned)sum;
        for (int i = 0; i < 32; i++)
            s += (unsigned)((A_U ? x[i] : (int8_t)x[i]) * (B_U ? y[i] : (int8_t)y[i]));
        return (int)s;
    });
}
inline constexpr bool lb_mma_b1_is_xor()
{
    return false;
}
inline void lb_mma_b1(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    ptx_product("mma", d, a, b, [](const uint8_t *x, const uint8_t *y, int sum) {
        for (int i = 0; i < 32; i++)
            sum += __builtin_popcount(x[i] & y[i]);
        return sum;
    });
}
template <bool BF16>
inline void lb_mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    ptx_product("mma", d, a, b, [](const uint8_t *x, const uint8_t *y, float sum) {
        auto value = [](const uint8_t *at) {
            uint16_t bits;
            std::memcpy(&bits, at, 2);
            return BF16 ? bits_as<float>((uint32_t)bits << 16) : lb_f16_to_f32(bits);
        };
        for (int i = 0; i < 32; i += 2)
            sum += value(x + i) * value(y + i);
        return sum;
    });
}

#endif

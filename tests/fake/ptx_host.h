/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuda/ptx.cuh for the host: the same functions, by the instructions' definitions (PTX ISA).
 * Included before every kernel file. Copies are made when they are waited for, and not before, so
 * that a wait which is missing shows.
 */
#ifndef PTX_HOST_H
#define PTX_HOST_H

#include <memory>

#include "cuda_host.h"

#define LB_PTX_CUH
#define LB_SM 900 /* constants that depend on the device take the newer one's way */

/* ---- Conversions ----------------------------------------------------------------------------- */

extern "C" {
float lb_f16_to_f32(uint16_t bits); /* host/types.c */
uint16_t lb_f16_from_f32(float value);
uint16_t lb_bf16_from_f32(float value);
}
inline uint16_t lb_f32_to_f16(float value)
{
    return lb_f16_from_f32(value);
}
inline uint32_t lb_f16x2(float low, float high)
{
    return lb_f16_from_f32(low) | (uint32_t)lb_f16_from_f32(high) << 16;
}
inline uint32_t lb_bf16x2(float low, float high)
{
    uint16_t nan = 0x7fff;
    return (low == low ? lb_bf16_from_f32(low) : nan) |
           (uint32_t)(high == high ? lb_bf16_from_f32(high) : nan) << 16;
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
inline uint32_t lb_sub_bf16x2(uint32_t a, uint32_t b)
{
    uint32_t d = 0;
    for (int i = 0; i < 32; i += 16)
        d |= (uint32_t)lb_bf16_from_f32(bits_as<float>(a >> i << 16) - bits_as<float>(b >> i << 16))
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
    simt::check_source(from, bytes);
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

inline int ptx_add(int a, int b)
{
    return (int)((unsigned)a + (unsigned)b);
}
inline float ptx_add(float a, float b)
{
    return a + b;
}
template <bool A_U, bool B_U> inline int ptx_dot_s8(const uint8_t *x, const uint8_t *y, int sum)
{
    unsigned s = (unsigned)sum;
    for (int i = 0; i < 32; i++)
        s += (unsigned)((A_U ? x[i] : (int8_t)x[i]) * (B_U ? y[i] : (int8_t)y[i]));
    return (int)s;
}
template <bool BF16> inline float ptx_dot_f16(const uint8_t *x, const uint8_t *y, float sum)
{
    auto value = [](const uint8_t *at) {
        uint16_t bits;
        std::memcpy(&bits, at, 2);
        return BF16 ? bits_as<float>((uint32_t)bits << 16) : lb_f16_to_f32(bits);
    };
    for (int i = 0; i < 32; i += 2)
        sum += value(x + i) * value(y + i);
    return sum;
}
template <bool A_U, bool B_U>
inline void lb_mma_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    ptx_product("mma", d, a, b, [](const uint8_t *x, const uint8_t *y, int sum) {
        return ptx_dot_s8<A_U, B_U>(x, y, sum);
    });
}
template <bool A_U, bool B_U>
inline void lb_mma_s4(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    ptx_product("mma", d, a, b, [](const uint8_t *x, const uint8_t *y, int sum) {
        auto value = [](int code, bool is_unsigned) { return is_unsigned ? code : (code ^ 8) - 8; };
        for (int i = 0; i < 64; i++)
            sum +=
                value(x[i / 2] >> (i % 2 * 4) & 15, A_U) * value(y[i / 2] >> (i % 2 * 4) & 15, B_U);
        return sum;
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
        return ptx_dot_f16<BF16>(x, y, sum);
    });
}

/* ---- Warpgroups ------------------------------------------------------------------------------ */
/*
 * A product is made when its group is waited for, from A as it was and B's tile as it then is;
 * until then D holds nothing sensible.
 */

inline constexpr int lb_swizzle128(int row, int chunk)
{
    return row * 128 + ((chunk ^ row) & 7) * 16;
}
inline uint64_t lb_tile_descriptor(const uint8_t *tile)
{
    uint32_t at = lb_shared_address(tile);
    if (at % 1024)
        simt::fault("a tile at %u, which is not a multiple of 1024", at);
    return at >> 4;
}

inline void lb_wgmma_fence()
{
    simt::together("wgmma.fence", 128, nullptr, [](void **) {});
}
inline void lb_wgmma_commit()
{
    auto &groups = simt::now->products;
    if (groups.empty())
        groups.emplace_back();
    groups.emplace_back();
}
template <int pending> inline void lb_wgmma_wait()
{
    auto &groups = simt::now->products;
    while (groups.size() > 1 + pending) {
        for (const auto &product : groups.front())
            product();
        groups.erase(groups.begin());
    }
    simt::together("wgmma.wait_group", 128, nullptr, [](void **) {});
}

/* Row `row` of a tile, 32 bytes of k from the descriptor's on. */
inline void ptx_tile_row(uint64_t tile, int row, uint8_t (&bytes)[32])
{
    uint32_t at = (uint32_t)tile << 4, base = at & ~1023u;
    for (int i = 0; i < 2; i++)
        std::memcpy(
            bytes + 16 * i,
            simt::shared_at(base + (uint32_t)lb_swizzle128(row, (int)(at % 128 / 16) + i), 16, 16),
            16);
}

/* One product of a warpgroup: A as it was, and the sums once somebody has waited. */
template <int N, typename T> struct ptx_product_of_four {
    uint8_t rows[64][32];
    T sums[64][N];
    bool made = false;
};
struct ptx_wgmma {
    uint32_t a[4];
    uint64_t tile;
    bool add;
    std::shared_ptr<void> product;
};

/* The value that D's register has to start from; what is seen there until the end is poison. */
template <typename T> inline uint32_t ptx_take(T &d)
{
    uint32_t value = bits_as<uint32_t>(d);
    std::memset(&d, 0xcd, sizeof d);
    return value;
}

template <int N, typename T, typename Dot>
inline void ptx_wgmma_product(T (&d)[N / 2], const uint32_t (&a)[4], uint64_t tile, bool add,
                              Dot dot)
{
    typedef ptx_product_of_four<N, T> product;
    ptx_wgmma mine = {{a[0], a[1], a[2], a[3]}, tile, add, nullptr};
    simt::together("wgmma", 128, &mine, [](void **all) {
        auto made = std::make_shared<product>();
        for (int t = 0; t < 128; t++) {
            auto *x = (ptx_wgmma *)all[t], *first = (ptx_wgmma *)all[0];
            if (x->tile != first->tile || x->add != first->add)
                simt::fault("wgmma with operands that differ in the warpgroup");
            for (int r = 0; r < 4; r++)
                std::memcpy(
                    &made->rows[t / 32 * 16 + t % 32 / 4 + r % 2 * 8][r / 2 * 16 + t % 4 * 4],
                    &x->a[r], 4);
            x->product = made;
        }
    });
    auto &groups = simt::now->products;
    if (groups.empty())
        groups.emplace_back();
    /* D of products that follow each other is what the one before leaves. */
    auto &values = simt::now->unfinished[d];
    if (values.empty())
        for (T &v : d)
            values.push_back(ptx_take(v));
    simt::now->pending[d]++;
    simt::thread *self = simt::now;
    auto shared = std::static_pointer_cast<product>(mine.product);
    int lane = (int)threadIdx.x % 32, first = (int)threadIdx.x % 128 / 32 * 16 + lane / 4;
    groups.back().push_back([=, &d] {
        for (int n = 0; n < N && !shared->made; n++) {
            uint8_t column[32];
            ptx_tile_row(tile, n, column);
            for (int m = 0; m < 64; m++)
                shared->sums[m][n] = dot(shared->rows[m], column, T(0));
        }
        shared->made = true;
        auto &old = self->unfinished[d];
        for (int i = 0; i < N / 2; i++) {
            T sum = shared->sums[first + i / 2 % 2 * 8][i / 4 * 8 + lane % 4 * 2 + i % 2];
            if (add)
                sum = ptx_add(bits_as<T>(old[(size_t)i]), sum);
            old[(size_t)i] = bits_as<uint32_t>(sum);
        }
        if (--self->pending[d] == 0) {
            std::memcpy(d, old.data(), sizeof d);
            self->unfinished.erase(d);
        }
    });
}

template <int N, bool A_U, bool B_U>
inline void lb_wgmma_s8(int (&d)[N / 2], const uint32_t (&a)[4], uint64_t tile, bool add)
{
    ptx_wgmma_product<N>(d, a, tile, add, [](const uint8_t *x, const uint8_t *y, int sum) {
        return ptx_dot_s8<A_U, B_U>(x, y, sum);
    });
}
template <int N>
inline void lb_wgmma_b1(int (&d)[N / 2], const uint32_t (&a)[4], uint64_t tile, bool add)
{
    ptx_wgmma_product<N>(d, a, tile, add, [](const uint8_t *x, const uint8_t *y, int sum) {
        for (int i = 0; i < 32; i++)
            sum += __builtin_popcount(x[i] & y[i]);
        return sum;
    });
}
template <int N, bool BF16>
inline void lb_wgmma_f16(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t tile, bool add)
{
    ptx_wgmma_product<N>(d, a, tile, add, [](const uint8_t *x, const uint8_t *y, float sum) {
        return ptx_dot_f16<BF16>(x, y, sum);
    });
}

template <int count> inline void lb_registers_less()
{
}
template <int count> inline void lb_registers_more()
{
}

/* ---- Barriers in shared memory --------------------------------------------------------------- */

inline simt::barrier_state &ptx_barrier(const uint64_t *barrier)
{
    return simt::barrier_at(simt::shared_offset(barrier));
}
inline void lb_barrier_init(uint64_t *barrier, int count)
{
    simt::shared_at(simt::shared_offset(barrier), 8, 8);
    ptx_barrier(barrier) = {count, count, 0, 0, {}};
}
inline void lb_barrier_init_done()
{
}
inline void lb_barrier_arrive(uint64_t *barrier)
{
    simt::arrive(ptx_barrier(barrier), 1, 0);
}
inline void lb_barrier_expect(uint64_t *barrier, uint32_t bytes)
{
    simt::arrive(ptx_barrier(barrier), 1, bytes);
}
inline void lb_barrier_wait(uint64_t *barrier, uint32_t parity)
{
    simt::barrier_state &b = ptx_barrier(barrier);
    simt::wait_until("mbarrier.try_wait", [&] {
        simt::land(b);
        return (b.phase & 1) != parity;
    });
}
template <typename T, int N> inline void lb_wgmma_keep(T (&)[N])
{
}
inline void lb_cluster_arrive()
{
    simt::together("barrier.cluster.arrive", 32, nullptr, [](void **) {});
    simt::cluster_arrive();
}
inline void lb_cluster_wait()
{
    simt::cluster_wait();
}
inline uint4 lb_peer_load16(const void *at, unsigned rank)
{
    uint4 v;
    std::memcpy(&v, simt::peer_at(rank, simt::shared_offset(at), 16, 16), sizeof v);
    return v;
}
inline void lb_copy_bulk(uint8_t *to, const uint8_t *from, uint32_t bytes, uint64_t *barrier)
{
    simt::check_source(from, bytes);
    simt::shared_at(simt::shared_offset(to), bytes, 16);
    if ((uintptr_t)from % 16 || bytes % 16)
        simt::fault("cp.async.bulk of %u bytes from an address of %zu mod 16", bytes,
                    (size_t)((uintptr_t)from % 16));
    ptx_barrier(barrier).copies.push_back({to, from, bytes, 0});
}
inline void lb_fence_async()
{
}

/* ---- Grids that overlap ---------------------------------------------------------------------- */

inline void lb_grid_wait()
{
    simt::grid_wait();
}
inline void lb_grid_launch_dependents()
{
    simt::grid_launch_dependents();
}

#endif

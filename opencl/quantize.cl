/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantising rows of activations, one work-group each: for an RMSNorm the sum of squares, in the
 * order of quantize.h; the range (t2, b1: the mean size) by a reduction whose order does not
 * matter; then the codes, 16 columns at a time, and their sum. The arithmetic is quantize.h's; what
 * is said in vectors here are its fast paths.
 *
 * Macro GROUP: work-items per row, a power of two.
 */

/* 16 values from column `at`, zeros beyond the row's end. */
static inline float16 load_x(const lb_quant_kargs *p, __global const uchar *x, int at)
{
    return lb_load16(p->x_type, x, at, p->cols - at);
}

static inline float16 norm_cut(float16 x)
{
    return select(x, (float16)0.0f, fabs(x) < LB_QUANT_LEAST);
}

/* The values that are quantised: those of load_x, or their RMSNorm (lb_norm_value). */
static inline float16 load_values(const lb_quant_kargs *p, __global const uchar *x,
                                  __global const uchar *norm_weight, float inverse, int at)
{
    float16 v = load_x(p, x, at);
    if (!p->norm_type)
        return v;
    float16 weight = lb_load16(p->norm_type, norm_weight, at, p->cols - at);
    return norm_cut(norm_cut(v * inverse) * weight);
}

/* Into ways[0], an array of LB_NORM_WAYS. */
static inline void sum_squares(const lb_quant_kargs *p, __global const uchar *x,
                               __local float *ways)
{
    int me = get_local_id(0);
    for (int w = me; w < LB_NORM_WAYS; w += GROUP) {
        float16 sum = 0.0f;
        for (int at = 16 * w; at < p->cols; at += 16 * LB_NORM_WAYS) {
            float16 size = fabs(load_x(p, x, at));
            size = select(size, (float16)LB_NORM_MOST, size > LB_NORM_MOST);
            float16 square = size * size;
            sum += select((float16)0.0f, square, square >= LB_NORM_LEAST_SQUARE);
        }
        float8 eight = sum.lo + sum.hi;
        float4 four = eight.lo + eight.hi;
        float2 two = four.lo + four.hi;
        ways[w] = two.x + two.y;
    }
    for (int step = LB_NORM_WAYS / 2; step > 0; step /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int w = me; w < step; w += GROUP)
            ways[w] += ways[w + step];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}

/* f(a, b) over the work-group, of an array of GROUP values. */
#define REDUCE(values, local_id, combine)                                                          \
    for (int step = GROUP / 2; step > 0; step /= 2) {                                              \
        barrier(CLK_LOCAL_MEM_FENCE);                                                              \
        if (local_id < step)                                                                       \
            values[local_id] = combine(values[local_id], values[local_id + step]);                 \
    }                                                                                              \
    barrier(CLK_LOCAL_MEM_FENCE)
#define SUM(a, b) ((a) + (b))

/* lb_quantize_code of 16 values. */
static inline int16 codes_of(float16 x, float scale, float inverse, int zero, lb_grid grid)
{
    float16 y = clamp(select(x * inverse, (float16)0.0f, isnan(x)), -1024.0f, 1024.0f);
    float16 nearest = rint(y);
    int16 q = convert_int16(nearest);
    if (any(fabs(y - nearest) >= 0.5f - 0x1p-11f)) {
        float v[16];
        int t[16];
        vstore16(x, 0, v);
        for (int j = 0; j < 16; j++)
            t[j] = lb_quantize_round(v[j], scale, inverse);
        q = vload16(0, t);
    }
    return clamp(q + zero, grid.least, grid.most);
}

static inline int sum_of(int16 q, int count)
{
    int t[16], sum = 0;
    vstore16(q, 0, t);
    for (int j = 0; j < 16; j++)
        sum += j < count ? t[j] : 0;
    return sum;
}

static inline void store_bytes(__global uchar *at, int16 q, int count)
{
    int t[16];
    vstore16(q, 0, t);
    for (int j = 0; j < count; j++)
        at[j] = (uchar)t[j];
}

__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void
quantize(__global const uchar *x0, __global uchar *codes0, __global uchar *scales0,
         __global uchar *zeros0, __global uchar *sums0, __global const uchar *norm_weight0,
         const lb_quant_kargs p)
{
    __local float lows[GROUP], highs[GROUP], ways[LB_NORM_WAYS];
    __local ulong totals[GROUP];
    __local int sums[GROUP];
    int row = get_group_id(0), me = get_local_id(0), bits = lb_bits(p.type);
    __global const uchar *x = x0 + p.offset[0] + row * p.x_ld * (lb_bits(p.x_type) / 8);
    __global uchar *codes = codes0 + p.offset[1] + row * p.row_bytes;

    __global const uchar *norm_weight = norm_weight0 + p.offset[5];
    float norm_inverse = 0.0f;
    if (p.norm_type) {
        sum_squares(&p, x, ways);
        norm_inverse = lb_norm_inverse(ways[0], p.cols, p.norm_epsilon);
    }

    float16 low = 0.0f, high = 0.0f;
    for (int at = 16 * me; at < p.cols; at += 16 * GROUP) {
        float16 v = load_values(&p, x, norm_weight, norm_inverse, at);
        low = select(low, v, v < low);
        high = select(high, v, v > high);
    }
    float8 low8 = min(low.lo, low.hi), high8 = max(high.lo, high.hi);
    float4 low4 = min(low8.lo, low8.hi), high4 = max(high8.lo, high8.hi);
    lows[me] = min(min(low4.x, low4.y), min(low4.z, low4.w));
    highs[me] = max(max(high4.x, high4.y), max(high4.z, high4.w));
    REDUCE(lows, me, min);
    REDUCE(highs, me, max);

    lb_grid grid = lb_grid_of(p.type, p.scheme);
    float least = lows[0], most = highs[0], size = most > -least ? most : -least, scale;
    int zero = grid.zero;
    if (p.type == LB_TYPE_T2 || p.type == LB_TYPE_B1) {
        float unit = lb_mean_unit(size);
        ulong total = 0;
        for (int at = 16 * me; at < p.cols; at += 16 * GROUP) {
            float t[16];
            vstore16(load_values(&p, x, norm_weight, norm_inverse, at), 0, t);
            for (int j = 0; j < 16; j++) /* zeros beyond the end add nothing */
                total += lb_mean_term(t[j], unit);
        }
        totals[me] = total;
        REDUCE(totals, me, SUM);
        scale = lb_mean_size(totals[0], p.cols, size);
    } else if (p.scheme == LB_QUANT_IS_ASYMMETRIC) {
        scale = lb_asymmetric_scale(least, most, grid, &zero);
    } else {
        scale = lb_symmetric_scale(size, grid.half_span);
    }

    float inverse = lb_divide(1.0f, scale);
    int sum = 0;
    for (int at = 16 * me; at < p.cols; at += 16 * GROUP) {
        int count = p.cols - at;
        float16 v = load_values(&p, x, norm_weight, norm_inverse, at);
        int16 q = p.type == LB_TYPE_B1 ? select((int16)-1, (int16)1, v >= 0.0f)
                                       : codes_of(v, scale, inverse, zero, grid);
        sum += sum_of(q, count);
        if (bits == 8 && count >= 16)
            vstore16(convert_uchar16(q & 255), 0, codes + at);
        else if (bits == 8)
            store_bytes(codes + at, q, count);
        else
            lb_store_packed(codes + (long)at * bits / 8, bits == 1 ? max(q, 0) : q, bits, count);
    }
    sums[me] = sum;
    REDUCE(sums, me, SUM);
    if (me == 0) {
        ((__global float *)(scales0 + p.offset[2]))[row] = scale;
        if (p.has_zeros)
            ((__global int *)(zeros0 + p.offset[3]))[row] = zero;
        if (p.has_sums)
            ((__global int *)(sums0 + p.offset[4]))[row] = sums[0];
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "panels.h"

#include <string.h>

#include "types.h"

#define EACH_ROW(i) for (int64_t i = 0; i < LB_PANEL; i++)
#define BYTES UINT32_C(0x01010101)

/* ---- Reading --------------------------------------------------------------------------------- */

#define READ(name)                                                                                 \
    static void name(const lb_matrix *m, int64_t n, int64_t k, int64_t quads, lb_quad_line *q)

static uint32_t word_at(const uint8_t *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}
static const uint8_t *codes_of(const lb_matrix *m)
{
    return m->stored.part[LB_PART_CODES].data;
}

/* `words` words of each row, which begin at `codes + n * row + offset`, side by side. */
static inline void gather(const uint8_t *codes, uint64_t row, int64_t words, lb_quad_line *raw)
{
    EACH_ROW(i)
    {
        const uint8_t *at = codes + (uint64_t)i * row;
        for (int64_t w = 0; w < words; w++)
            raw[w][i] = word_at(at + 4 * w);
    }
}

/* Eight codes of four bits in the order of k. */
static inline void spread4(const uint32_t *restrict raw, uint32_t *restrict low,
                           uint32_t *restrict high)
{
    EACH_ROW(i)
    {
        uint32_t a = raw[i] & 0xffffu, b = raw[i] >> 16;
        a = (a | a << 8) & 0x00ff00ffu;
        b = (b | b << 8) & 0x00ff00ffu;
        low[i] = (a | a << 4) & 0x0f0f0f0fu;
        high[i] = (b | b << 4) & 0x0f0f0f0fu;
    }
}
static inline void spread2(const uint32_t *restrict raw, lb_quad_line *restrict q)
{
    for (int j = 0; j < 4; j++)
        EACH_ROW(i)
        {
            uint32_t a = raw[i] >> 8 * j & 0xffu;
            a = (a | a << 12) & 0x000f000fu;
            q[j][i] = (a | a << 6) & 0x03030303u;
        }
}
/* Low nibbles of bytes that follow each other, then the high ones. */
static inline void nibbles(lb_quad_line *restrict raw, int64_t words, lb_quad_line *restrict q)
{
    for (int64_t w = 0; w < words; w++)
        EACH_ROW(i)
        {
            q[w][i] = raw[w][i] & 0x0f0f0f0fu;
            q[words + w][i] = raw[w][i] >> 4 & 0x0f0f0f0fu;
        }
}

/* Rows of dense bit streams that begin on words: compressed-tensors, MatMulNBits, canon. */
static void dense(const uint8_t *codes, uint64_t row, unsigned bits, int64_t quads, lb_quad_line *q)
{
    lb_quad_line raw[LB_QUADS];
    if (bits == 8) {
        gather(codes, row, quads, q);
    } else if (bits == 4) {
        gather(codes, row, quads / 2, raw);
        for (int64_t w = 0; w < quads / 2; w++)
            spread4(raw[w], q[2 * w], q[2 * w + 1]);
    } else {
        gather(codes, row, quads / 4, raw);
        for (int64_t w = 0; w < quads / 4; w++)
            spread2(raw[w], q + 4 * w);
    }
}
READ(read_words)
{
    uint64_t row = (m->shape.k * m->shape.bits + 31) / 32 * 4;
    dense(codes_of(m) + (uint64_t)n * row + (uint64_t)k * m->shape.bits / 8, row,
          (unsigned)m->shape.bits, quads, q);
}
READ(read_nbits)
{
    uint64_t blocks = (m->shape.k + m->shape.group - 1) / m->shape.group,
             row = blocks * (m->shape.group * m->shape.bits / 8);
    dense(codes_of(m) + (uint64_t)n * row + (uint64_t)k * m->shape.bits / 8, row,
          (unsigned)m->shape.bits, quads, q);
}

/* [K bits / 32][N] words: already side by side. */
READ(read_gptq)
{
    int64_t bits = m->form.bits, per = 32 / bits;
    for (int64_t w = 0; w < quads * 4 / per; w++) {
        lb_quad_line raw;
        memcpy(raw, codes_of(m) + 4 * ((k / per + w) * m->form.n + n), sizeof raw);
        if (bits == 8)
            memcpy(q[w], raw, sizeof raw);
        else if (bits == 4)
            spread4(raw, q[2 * w], q[2 * w + 1]);
        else
            spread2(raw, q + 4 * w);
    }
}

/* [K][N / 8] words: rows of one k, nibbles in the order of columns 0 2 4 6 1 3 5 7. */
READ(read_awq)
{
    for (int64_t j = 0; j < quads; j++) {
        uint8_t line[4][LB_PANEL];
        for (int i = 0; i < 4; i++) {
            const uint8_t *at = codes_of(m) + ((k + 4 * j + i) * m->form.n + n) / 2;
            for (int64_t w = 0; w < LB_PANEL / 8; w++) {
                uint64_t word = word_at(at + 4 * w), even = word & 0xffffu, odd = word >> 16;
                even = (even | even << 24) & UINT64_C(0x000000ff000000ff);
                odd = (odd | odd << 24) & UINT64_C(0x000000ff000000ff);
                even = (even | even << 12) & UINT64_C(0x000f000f000f000f);
                odd = (odd | odd << 12) & UINT64_C(0x000f000f000f000f);
                even |= odd << 8;
                memcpy(&line[i][8 * w], &even, sizeof even);
            }
        }
        EACH_ROW(i)
        q[j][i] = line[0][i] | (uint32_t)line[1][i] << 8 | (uint32_t)line[2][i] << 16 |
                  (uint32_t)line[3][i] << 24;
    }
}

/* Blocks of ggml: `words` words of each of some blocks of `bytes` bytes. */
static inline void gather_blocks(const uint8_t *codes, uint64_t row, int64_t blocks, int64_t bytes,
                                 int64_t words, lb_quad_line *raw)
{
    EACH_ROW(i)
    {
        const uint8_t *at = codes + (uint64_t)i * row;
        for (int64_t b = 0; b < blocks; b++)
            for (int64_t w = 0; w < words; w++)
                raw[b * words + w][i] = word_at(at + b * bytes + 4 * w);
    }
}
static const uint8_t *block_of(const lb_matrix *m, int64_t n, int64_t k, uint64_t *row)
{
    uint64_t bytes = (uint64_t)m->format->block_bytes;
    *row = m->shape.k / (unsigned)m->format->block * bytes;
    return codes_of(m) + (uint64_t)n * *row + (uint64_t)(k / m->format->block) * bytes;
}
READ(read_q4_0)
{
    lb_quad_line raw[LB_QUADS / 2];
    uint64_t row;
    const uint8_t *at = block_of(m, n, k, &row);
    gather_blocks(at + 2, row, quads / 8, 18, 4, raw);
    for (int64_t b = 0; b < quads / 8; b++)
        nibbles(raw + 4 * b, 4, q + 8 * b);
}
READ(read_q8_0)
{
    uint64_t row;
    const uint8_t *at = block_of(m, n, k, &row);
    gather_blocks(at + 2, row, quads / 8, 34, 8, q);
    for (int64_t j = 0; j < quads; j++)
        EACH_ROW(i)
    q[j][i] ^= 0x80808080u;
}
READ(read_q4_k)
{
    lb_quad_line raw[32];
    uint64_t row;
    const uint8_t *at = block_of(m, n, k, &row);
    (void)quads; /* one block: a chunk */
    gather(at + 16, row, 32, raw);
    for (int64_t c = 0; c < 4; c++)
        nibbles(raw + 8 * c, 8, q + 16 * c);
}
/* 128 flattened codes in 32 bytes, the first 32 on top. K is a multiple of 128 here. */
READ(read_i2_s)
{
    lb_quad_line raw[8];
    const uint8_t *at = codes_of(m) + (n * m->form.k + k) / 4;
    for (int64_t b = 0; b < quads / 32; b++) {
        gather(at + 32 * b, m->shape.k / 4, 8, raw);
        for (int64_t w = 0; w < 8; w++)
            for (int64_t c = 0; c < 4; c++)
                EACH_ROW(i)
        q[32 * b + 8 * c + w][i] = raw[w][i] >> (6 - 2 * c) & 0x03030303u;
    }
}

static const struct reader {
    const char *format;
    int32_t k_mult;
    void (*read)(const lb_matrix *m, int64_t n, int64_t k, int64_t quads, lb_quad_line *q);
} readers[] = {{"gptq", 32, read_gptq}, {"gptq_v2", 32, read_gptq}, {"awq", 32, read_awq},
               {"ct", 32, read_words},  {"nbits", 32, read_nbits},  {"q4_0", 32, read_q4_0},
               {"q8_0", 32, read_q8_0}, {"q4_k", 256, read_q4_k},   {"i2_s", 128, read_i2_s}};

/* ---- Writing --------------------------------------------------------------------------------- */

#define WRITE(name)                                                                                \
    static void name(const lb_extent *e, void *codes, int64_t n, int64_t k, int64_t quads,         \
                     lb_quad_line *q)

/* Lines of 64 words (panel64x4, panel64h) that hold `fields` of k each. */
static uint32_t *line_at(const lb_extent *e, void *codes, int64_t n, int64_t k, int64_t fields)
{
    return (uint32_t *)codes + (n / LB_PANEL * (e->k_pad / fields) + k / fields) * LB_PANEL;
}

WRITE(write_x4)
{
    int64_t fields = 8 / e->bits; /* quads above each other */
    uint32_t *to = line_at(e, codes, n, k, 4 * fields);
    for (int64_t l = 0; l < quads / fields; l++, to += LB_PANEL) {
        lb_quad_line *a = q + l * fields;
        if (fields == 1)
            memcpy(to, a, sizeof *a);
        else if (fields == 2)
            EACH_ROW(i)
        to[i] = a[0][i] | a[1][i] << 4;
        else EACH_ROW(i) to[i] = a[0][i] | a[1][i] << 2 | a[2][i] << 4 | a[3][i] << 6;
    }
}

/* Even k in the low half of a word, odd ones in the high half. */
static inline uint32_t halves4(uint32_t quad)
{
    uint32_t t = quad | quad >> 12;
    return (t & 0xffu) | (t & 0xff00u) << 8;
}
static inline uint32_t halves2(uint32_t quad)
{
    uint32_t t = quad | quad >> 14;
    return (t & 0xfu) | (t & 0xf00u) << 8;
}
WRITE(write_h)
{
    int64_t per = 8 / e->bits; /* quads in a word */
    uint32_t *to = line_at(e, codes, n, k, 4 * per);
    for (int64_t l = 0; l < quads / per; l++, to += LB_PANEL) {
        lb_quad_line *a = q + l * per;
        if (per == 1)
            EACH_ROW(i)
        to[i] = (a[0][i] & 0xff0000ffu) | (a[0][i] >> 8 & 0xff00u) | (a[0][i] & 0xff00u) << 8;
        else if (per == 2) EACH_ROW(i) to[i] = halves4(a[0][i]) | halves4(a[1][i]) << 8;
        else EACH_ROW(i) to[i] = halves2(a[0][i]) | halves2(a[1][i]) << 4 | halves2(a[2][i]) << 8 |
                                 halves2(a[3][i]) << 12;
    }
}

/* Lines of 64 pairs of bytes. */
WRITE(write_x2)
{
    int64_t fields = 8 / e->bits;
    uint16_t *to =
        (uint16_t *)codes + (n / LB_PANEL * (e->k_pad / 2 / fields) + k / 2 / fields) * LB_PANEL;
    if (fields == 1)
        for (int64_t j = 0; j < quads; j++, to += (int64_t)2 * LB_PANEL)
            EACH_ROW(i)
            {
                to[i] = (uint16_t)q[j][i];
                to[LB_PANEL + i] = (uint16_t)(q[j][i] >> 16);
            }
    else if (fields == 2)
        for (int64_t j = 0; j < quads; j++, to += LB_PANEL)
            EACH_ROW(i)
    to[i] = (uint16_t)(q[j][i] | q[j][i] >> 12);
    else for (int64_t j = 0; j < quads; j += 2, to += LB_PANEL) EACH_ROW(i)
    {
        uint32_t a = q[j][i] | q[j][i] >> 14, b = q[j + 1][i] | q[j + 1][i] >> 14;
        to[i] = (uint16_t)(a | b << 4);
    }
}

/* Each row by itself, low bits first. */
WRITE(write_rows)
{
    int64_t per = 8 / e->bits, row = e->k_pad * e->bits / 8;
    uint8_t *to = (uint8_t *)codes + n * row + k * e->bits / 8;
    for (int64_t l = 0; l < quads / per; l++) {
        lb_quad_line word;
        lb_quad_line *a = q + l * per;
        memset(word, 0, sizeof word);
        for (int64_t j = 0; j < per; j++)
            EACH_ROW(i)
            {
                uint32_t t = a[j][i];
                t |= t >> (8 - e->bits);
                t = per == 1 ? a[j][i]
                             : (t & ((1u << 2 * e->bits) - 1u)) |
                                   (t >> 16 & ((1u << 2 * e->bits) - 1u)) << 2 * e->bits;
                word[i] |= t << (32 / per) * j;
            }
        EACH_ROW(i)
        memcpy(to + i * row + 4 * l, &word[i], 4);
    }
}

static const struct writer {
    const char *layout;
    void (*write)(const lb_extent *e, void *codes, int64_t n, int64_t k, int64_t quads,
                  lb_quad_line *q);
} writers[] = {
    {"panel64x4", write_x4}, {"panel64h", write_h}, {"panel64x2", write_x2}, {"rows", write_rows}};

/* ---- All ------------------------------------------------------------------------------------- */

bool lb_panels_open(const lb_matrix *m, const lb_extent *e, int32_t zero, lb_panels *p)
{
    *p = (lb_panels){.extent = e};
    bool sizes = e->bits == m->form.bits && lb_type_bits(e->type) == e->bits &&
                 (e->bits == 2 || e->bits == 4 || e->bits == 8);
    for (size_t i = 0; sizes && i < sizeof readers / sizeof *readers; i++)
        if (strcmp(readers[i].format, m->format->name) == 0 && m->form.k % readers[i].k_mult == 0)
            p->read = readers[i].read;
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++)
        if (strcmp(writers[i].layout, e->layout->name) == 0)
            p->write = writers[i].write;
    int32_t offset = e->layout->offset && lb_type_get(e->type)->min < 0 ? 1 << (e->bits - 1) : 0;
    p->add = (unsigned)(offset - zero) & ((1u << e->bits) - 1u);
    return p->read && p->write && (e->bits < 8 || p->add == 0 || p->add == 128);
}

static void add_sums(lb_quad_line *q, int64_t quads, int32_t *sums)
{
    uint32_t even[LB_PANEL] = {0}, odd[LB_PANEL] = {0}; /* pairs of 16 bits: 64 quads fit */
    for (int64_t j = 0; j < quads; j++)
        EACH_ROW(i)
        {
            even[i] += q[j][i] & 0x00ff00ffu;
            odd[i] += q[j][i] >> 8 & 0x00ff00ffu;
        }
    EACH_ROW(i)
    sums[i] +=
        (int32_t)((even[i] & 0xffffu) + (even[i] >> 16) + (odd[i] & 0xffffu) + (odd[i] >> 16));
}

static bool has_three(lb_quad_line *q, int64_t quads)
{
    uint32_t any[LB_PANEL] = {0};
    for (int64_t j = 0; j < quads; j++)
        EACH_ROW(i)
    any[i] |= q[j][i] & q[j][i] >> 1;
    uint32_t found = 0;
    EACH_ROW(i)
    found |= any[i];
    return found & BYTES;
}

static void add_to_fields(lb_quad_line *q, int64_t quads, unsigned add, int bits)
{
    uint32_t mask = ((1u << bits) - 1u) * BYTES, addend = add * BYTES;
    for (int64_t j = 0; j < quads; j++)
        EACH_ROW(i)
    q[j][i] = bits == 8 ? q[j][i] ^ addend : (q[j][i] + addend) & mask;
}

bool lb_panels_pack(const lb_panels *p, const lb_matrix *m, int64_t n, void *codes, int64_t group,
                    int32_t *sums, int64_t stride)
{
    lb_quad_line q[LB_QUADS];
    int64_t k_end = m->form.k;
    for (int64_t k = 0; k < k_end; k += LB_CHUNK) {
        int64_t count = k_end - k < LB_CHUNK ? k_end - k : LB_CHUNK;
        p->read(m, n, k, count / 4, q);
        if (m->form.levels == 3 && has_three(q, count / 4))
            return false;
        for (int64_t at = 0, length; at < count; at += length) {
            int64_t to_end = group - (k + at) % group;
            length = to_end < count - at ? to_end : count - at;
            add_sums(q + at / 4, length / 4, sums + (k + at) / group * stride);
        }
        if (p->add)
            add_to_fields(q, count / 4, p->add, p->extent->bits);
        p->write(p->extent, codes, n, k, count / 4, q);
    }
    return true;
}

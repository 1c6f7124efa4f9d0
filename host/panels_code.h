/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers of formats, writers of layouts, sums: a source that panels_any.c and panels_avx2.c
 * compile, each for another kind of processor. LB_PANEL_CODE names the table that it defines.
 */
#include "panels_lines.h"

/* ---- Reading --------------------------------------------------------------------------------- */

#define READ(name)                                                                                 \
    static void name(const lb_matrix *m, int64_t n, int64_t k, int64_t count, lb_line *x)

static const uint8_t *codes_of(const lb_matrix *m)
{
    return m->stored.part[LB_PART_CODES].data;
}

/* Words of dense streams, side by side, to lines. */
static inline void lines_of_dense(lb_line *x, int64_t lines, int64_t bits)
{
    if (bits == 4)
        EACH_LINE (l, lines)
            EACH_ROW (i)
                x[l][i] = line4(x[l][i]);
    if (bits == 2)
        EACH_LINE (l, lines)
            EACH_ROW (i)
                x[l][i] = line2(x[l][i]);
}

/* Rows of dense streams: compressed-tensors, MatMulNBits. */
static void read_dense(const lb_matrix *m, int64_t row, int64_t n, int64_t k, int64_t count,
                       lb_line *x)
{
    int64_t bits = m->form.bits, lines = count * bits / 32;
    gather(codes_of(m) + n * row + k * bits / 8, row, lines, x);
    lines_of_dense(x, lines, bits);
}
READ(read_words)
{
    read_dense(m, (m->form.k * m->form.bits + 31) / 32 * 4, n, k, count, x);
}
READ(read_nbits)
{
    int64_t group = (int64_t)m->shape.group, blocks = (m->form.k + group - 1) / group;
    read_dense(m, blocks * (group * m->form.bits / 8), n, k, count, x);
}

/* [K bits / 32][N] words: already side by side. */
READ(read_gptq)
{
    int64_t bits = m->form.bits, lines = count * bits / 32;
    EACH_LINE (l, lines)
        memcpy(x[l], codes_of(m) + 4 * ((k * bits / 32 + l) * m->form.n + n), sizeof *x);
    lines_of_dense(x, lines, bits);
}

/* [K][N / 8] words: rows of one k, nibbles in the order of columns 0 2 4 6 1 3 5 7. Squares of
   8 x 8 nibbles are turned, eight of them side by side. */
typedef uint32_t eight[8];
static inline void cross(uint32_t *restrict a, uint32_t *restrict b, unsigned shift, uint32_t mask)
{
    for (int g = 0; g < 8; g++) {
        uint32_t t = (a[g] >> shift ^ b[g]) & mask;
        b[g] ^= t;
        a[g] ^= t << shift;
    }
}
READ(read_awq)
{
    static const int position[8] = {0, 4, 1, 5, 2, 6, 3, 7}; /* of a column, and of a k in a line */
    enum { AHEAD = 64 };                                     /* of k: memory is far */
    int64_t row = m->form.n / 2;
    const uint8_t *at = codes_of(m) + k * row + n / 2;
    for (int64_t l = 0; l < count / 8; l++, at += 8 * row) {
        eight a[8];
        for (int i = 0; i < 8; i++) {
            memcpy(a[2 * (i % 4) + i / 4], at + i * row, sizeof *a);
            FETCH(at + (i + AHEAD) * row);
        }
        for (int r = 0; r < 8; r += 2)
            cross(a[r], a[r + 1], 4, 0x0f0f0f0fu);
        for (int r = 0; r < 8; r += 4) {
            cross(a[r], a[r + 2], 8, 0x00ff00ffu);
            cross(a[r + 1], a[r + 3], 8, 0x00ff00ffu);
        }
        for (int r = 0; r < 4; r++)
            cross(a[r], a[r + 4], 16, 0x0000ffffu);
        for (int g = 0; g < 8; g += 4)
            for (int c = 0; c < 8; c += 4)
                turn4(&a[position[c]][g], &a[position[c + 1]][g], &a[position[c + 2]][g],
                      &a[position[c + 3]][g], (uint8_t *)&x[l][8 * g + c], 32);
    }
}

/* Blocks of ggml, from byte `first` of each on. */
static const uint8_t *block_of(const lb_matrix *m, int64_t n, int64_t k, int64_t *row)
{
    int64_t bytes = m->format->block_bytes;
    *row = m->form.k / m->format->block * bytes;
    return codes_of(m) + n * *row + k / m->format->block * bytes;
}
static inline void gather_blocks(const uint8_t *at, int64_t row, int64_t blocks, int64_t bytes,
                                 int64_t words, lb_line *x)
{
    for (int64_t i = 0; i < LB_PANEL; i += 4) {
        for (int64_t b = 0; b < blocks; b++)
            turn_rows(at + i * row + b * bytes, row, words, (uint8_t *)&x[b * words][i], sizeof *x);
        fetch_rows(at + i * row, row, blocks * bytes);
    }
}
/* Pairs of words whose low nibbles are k = 0 ... 3 and 4 ... 7, and whose high ones are so from
   `apart` lines on. */
static inline void lines_of_halves(lb_line *raw, int64_t apart, lb_line *x)
{
    EACH_LINE (l, apart)
        EACH_ROW (i) {
            uint32_t a = raw[2 * l][i], b = raw[2 * l + 1][i];
            x[l][i] = (a & 0x0f0f0f0fu) | (b & 0x0f0f0f0fu) << 4;
            x[apart + l][i] = (a >> 4 & 0x0f0f0f0fu) | (b & 0xf0f0f0f0u);
        }
}
READ(read_q4_0)
{
    lb_line raw[LB_LINES / 2];
    int64_t row;
    const uint8_t *at = block_of(m, n, k, &row);
    gather_blocks(at + 2, row, count / 32, 18, 4, raw);
    for (int64_t b = 0; b < count / 32; b++)
        lines_of_halves(raw + 4 * b, 2, x + 4 * b);
}
READ(read_q8_0)
{
    int64_t row;
    const uint8_t *at = block_of(m, n, k, &row);
    gather_blocks(at + 2, row, count / 32, 34, 8, x);
    EACH_LINE (l, count / 4)
        EACH_ROW (i)
            x[l][i] ^= 0x80808080u;
}
READ(read_q4_k)
{
    lb_line raw[32];
    int64_t row;
    const uint8_t *at = block_of(m, n, k, &row);
    (void)count; /* one block: a chunk */
    gather(at + 16, row, 32, raw);
    for (int64_t c = 0; c < 4; c++)
        lines_of_halves(raw + 8 * c, 4, x + 8 * c);
}
/* 128 flattened codes in 32 bytes, the first 32 on top. K is a multiple of 128 here. */
READ(read_i2_s)
{
    lb_line raw[8];
    const uint8_t *at = codes_of(m) + (n * m->form.k + k) / 4;
    for (int64_t b = 0; b < count / 128; b++) {
        gather(at + 32 * b, m->form.k / 4, 8, raw);
        for (int64_t l = 0; l < 8; l++) {
            lb_line *w = raw + l % 2 * 4;
            unsigned shift = (unsigned)(6 - l / 2 * 2);
            EACH_ROW (i)
                x[8 * b + l][i] =
                    (w[0][i] >> shift & 0x03030303u) | (w[1][i] >> shift & 0x03030303u) << 2 |
                    (w[2][i] >> shift & 0x03030303u) << 4 | (w[3][i] >> shift & 0x03030303u) << 6;
        }
    }
}

static const lb_panel_reader readers[] = {
    {"gptq", 32, true, read_gptq},    {"gptq_v2", 32, true, read_gptq},
    {"awq", 32, true, read_awq},      {"ct", 32, false, read_words},
    {"nbits", 32, false, read_nbits}, {"q4_0", 32, false, read_q4_0},
    {"q8_0", 32, false, read_q8_0},   {"q4_k", 256, false, read_q4_k},
    {"i2_s", 128, false, read_i2_s}};

/* ---- Writing --------------------------------------------------------------------------------- */

#define WRITE(name)                                                                                \
    static void name(const lb_extent *e, void *codes, int64_t n, int64_t k, int64_t count,         \
                     lb_line *x)

/* Lines of 64 words of `bits` bits a field. */
static uint32_t *line_at(const lb_extent *e, void *codes, int64_t n, int64_t k)
{
    return (uint32_t *)codes + (n / LB_PANEL * e->k_pad + k) * e->bits / 32 * LB_PANEL;
}

WRITE(write_x4)
{
    memcpy(line_at(e, codes, n, k), x, (size_t)(count * e->bits / 32) * sizeof *x);
}

WRITE(write_h)
{
    halve(x, count * e->bits / 32, e->bits, line_at(e, codes, n, k));
}

/* Lines of 64 pairs of bytes, two to a word: "10", "201", "3021". */
WRITE(write_x2)
{
    uint32_t *line = line_at(e, codes, n, k);
    EACH_LINE (l, count * e->bits / 32) {
        uint16_t *to = (uint16_t *)(line + l * LB_PANEL);
        if (e->bits == 4)
            EACH_ROW (i)
                x[l][i] = exchange(x[l][i], 12, 0x0000f0f0u);
        else if (e->bits == 2)
            EACH_ROW (i)
                x[l][i] = middle_pairs(exchange(x[l][i], 12, 0x0000f0f0u));
        EACH_ROW (i) {
            to[i] = (uint16_t)x[l][i];
            to[LB_PANEL + i] = (uint16_t)(x[l][i] >> 16);
        }
    }
}

/* Dense streams: whole rows, or 64 of k in blocks of 16 rows. */
static void write_dense(const lb_extent *e, uint8_t *to, int64_t sixteen, int64_t row,
                        int64_t piece, int64_t apart, int64_t count, lb_line *x)
{
    int64_t bits = e->bits, lines = count * bits / 32, most = piece * bits / 32;
    if (bits == 4)
        EACH_LINE (l, lines)
            EACH_ROW (i)
                x[l][i] = dense4(x[l][i]);
    if (bits == 2)
        EACH_LINE (l, lines)
            EACH_ROW (i)
                x[l][i] = line2(x[l][i]);
    for (int64_t l = 0; l < lines; l += most, to += apart)
        scatter(x + l, lines - l < most ? lines - l : most, to, sixteen, row, apart);
}
WRITE(write_rows)
{
    int64_t row = e->k_pad * e->bits / 8;
    write_dense(e, (uint8_t *)codes + n * row + k * e->bits / 8, 16 * row, row, LB_CHUNK,
                LB_CHUNK * e->bits / 8, count, x);
}
WRITE(write_block)
{
    int64_t row = INT64_C(8) * e->bits, block = 16 * row, sixteen = e->k_pad / 64 * block;
    write_dense(e, (uint8_t *)codes + n / 16 * sixteen + k / 64 * block, sixteen, row, 64, block,
                count, x);
}

#include "panels_frag.h"

static const lb_panel_writer writers[] = {
    {"panel64x4", write_x4},    {"panel64h", write_h},       {"panel64x2", write_x2},
    {"rows", write_rows},       {"block16x64", write_block}, {"frag64x128", write_frag128},
    {"frag64x64", write_frag64}};

/* ---- All ------------------------------------------------------------------------------------- */

/* Of all codes of each row. Sums meet in bytes, which hold eight lines of 4 bits and sixteen of 2,
   and in pairs of bytes. */
static void sum_lines(lb_line *x, int64_t lines, int64_t bits, int32_t *sums)
{
    uint32_t total[LB_PANEL] = {0};
    if (bits == 8)
        EACH_LINE (l, lines)
            EACH_ROW (i)
                total[i] += (x[l][i] & 0x00ff00ffu) + (x[l][i] >> 8 & 0x00ff00ffu);
    for (int64_t l = 0, end; bits < 8 && l < lines; l = end) {
        uint32_t bytes[LB_PANEL] = {0};
        end = bits == 4 && lines - l > 8 ? l + 8 : lines;
        for (int64_t at = l; at < end; at++)
            if (bits == 4)
                EACH_ROW (i)
                    bytes[i] += (x[at][i] & 0x0f0f0f0fu) + (x[at][i] >> 4 & 0x0f0f0f0fu);
            else
                EACH_ROW (i) {
                    uint32_t t = (x[at][i] & 0x33333333u) + (x[at][i] >> 2 & 0x33333333u);
                    bytes[i] += (t & 0x0f0f0f0fu) + (t >> 4 & 0x0f0f0f0fu);
                }
        EACH_ROW (i)
            total[i] += (bytes[i] & 0x00ff00ffu) + (bytes[i] >> 8 & 0x00ff00ffu);
    }
    EACH_ROW (i)
        sums[i] = (int32_t)((total[i] & 0xffffu) + (total[i] >> 16));
}

static bool has_three(lb_line *x, int64_t lines)
{
    uint32_t any[LB_PANEL] = {0}, found = 0;
    EACH_LINE (l, lines)
        EACH_ROW (i)
            any[i] |= x[l][i] & x[l][i] >> 1;
    EACH_ROW (i)
        found |= any[i];
    return found & 0x55555555u;
}

/* Field by field, modulo 2^bits. */
static void add_to_fields(lb_line *x, int64_t lines, int64_t bits, uint32_t add)
{
    uint32_t top = bits == 8 ? 0x80808080u : bits == 4 ? 0x88888888u : 0xaaaaaaaau, low = ~top;
    if (!(add & low))
        EACH_LINE (l, lines)
            EACH_ROW (i)
                x[l][i] ^= add;
    else
        EACH_LINE (l, lines)
            EACH_ROW (i)
                x[l][i] = ((x[l][i] & low) + (add & low)) ^ ((x[l][i] ^ add) & top);
}

static bool pack(const lb_panels *p, int64_t n, int64_t k, int64_t count)
{
    lb_line x[LB_LINES];
    int64_t bits = p->extent->bits, lines = count * bits / 32;
    p->read(p->m, n, k, count, x);
    if (p->m->form.levels == 3 && has_three(x, lines))
        return false;
    for (int64_t at = 0, length; at < count; at += length) {
        int64_t in = (k + at) % p->group, to_end = p->group - in;
        int32_t part[LB_PANEL], *sums = p->sums + (k + at) / p->group * p->stride + n;
        length = to_end < count - at ? to_end : count - at;
        sum_lines(x + at * bits / 32, length * bits / 32, bits, part);
        int32_t less = p->zero * (int32_t)length;
        if (in == 0)
            EACH_ROW (i)
                sums[i] = part[i] - less;
        else
            EACH_ROW (i)
                sums[i] += part[i] - less;
    }
    if (p->add)
        add_to_fields(x, lines, bits, p->add);
    p->write(p->extent, p->codes, n, k, count, x);
    return true;
}

static void turn(const void *from, int64_t count, void *to, int64_t stride)
{
    lb_line x[LB_LINES]; /* a stop between, because lines of `to` may fall together in the cache */
    for (int64_t at = 0; at < count; at += LB_LINES) {
        int64_t lines = count - at < LB_LINES ? count - at : LB_LINES;
        gather((const uint8_t *)from + 4 * at, 4 * count, lines, x);
        EACH_LINE (l, lines)
            memcpy((uint8_t *)to + 4 * (at + l) * stride, x[l], sizeof *x);
    }
}

const lb_panel_code LB_PANEL_CODE = {LB_PANEL_NAME,
                                     readers,
                                     writers,
                                     sizeof readers / sizeof *readers,
                                     sizeof writers / sizeof *writers,
                                     pack,
                                     turn};

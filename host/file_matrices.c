/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of a checkpoint that make one matrix, put together by their names. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "lbw.h"
#include "status.h"

static void set_part(const lb_file *file, const lb_file_tensor *t, lb_part_id part, lb_stored *s)
{
    if (!t)
        return;
    s->part[part].data = file->data + t->offset;
    s->part[part].bytes = t->bytes;
    s->part[part].type = t->format ? lb_type_parse(t->format, strlen(t->format)) : 0;
}

static int64_t dim(const lb_file_tensor *t, int i)
{
    return t && i < t->rank ? t->shape[i] : 1;
}

/* All of a tensor's outer dimensions as one. */
static lb_status one_tensor(const lb_file *file, const lb_file_tensor *t, const char *format,
                            lb_stored *s)
{
    s->format = format ? format : t->format;
    if (!s->format)
        return lb_fail(LB_UNSUPPORTED, "tensor %s: no format reads %s by itself", t->name, t->type);
    s->n = 1;
    for (int i = 0; i < t->rank - 1; i++)
        if (__builtin_mul_overflow(s->n, t->shape[i], &s->n))
            return lb_fail(LB_BAD_DATA, "tensor %s: its dimensions overflow", t->name);
    s->k = t->rank ? t->shape[t->rank - 1] : 1;
    set_part(file, t, LB_PART_CODES, s);
    s->part[LB_PART_CODES].type = 0;
    return LB_OK;
}

/* .qweight, .qzeros, .scales, .g_idx: GPTQ packs K, AWQ packs N. */
static lb_status gptq_or_awq(const lb_file *file, const char *name, const char *format,
                             lb_stored *s)
{
    const lb_file_tensor *codes = lb_file_lookup(file, name, ".qweight"),
                         *scales = lb_file_lookup(file, name, ".scales"),
                         *zeros = lb_file_lookup(file, name, ".qzeros"),
                         *order = lb_file_lookup(file, name, ".g_idx");
    if (!scales || !zeros || dim(scales, 0) < 1)
        return lb_fail(LB_BAD_DATA,
                       "tensor %s.qweight comes without .scales or .qzeros (.scaled_zeros)", name);
    int64_t columns = dim(codes, 1);
    s->n = dim(scales, 1);
    bool awq = columns != s->n;
    s->format = format ? format : awq ? "awq" : "gptq";
    s->k = dim(codes, 0);
    if (!awq) {
        int64_t bits = s->n ? 32 * dim(zeros, 1) / s->n : 0;
        s->bits = bits == 3 ? 0 : (int32_t)bits;
        if (!format && bits == 3)
            s->format = "gptq3";
        if (bits < 1 || bits > 8)
            return lb_fail(LB_BAD_DATA, "tensor %s.qzeros: %" PRId64 " words for n %" PRId64, name,
                           dim(zeros, 1), s->n);
        s->k = s->k * 32 / bits;
    }
    s->group = dim(scales, 0) > 1 ? (s->k + dim(scales, 0) - 1) / dim(scales, 0) : 0;
    set_part(file, codes, LB_PART_CODES, s);
    set_part(file, scales, LB_PART_SCALES, s);
    set_part(file, zeros, LB_PART_ZEROS, s);
    if (!awq)
        set_part(file, order, LB_PART_ORDER, s);
    return LB_OK;
}

/* .qweight, .scales, .scaled_zeros of llm-awq: int16 [N / 4][K]; groups of 128 unless there are too
   few scales. Rows of scales beyond K are padding. */
static lb_status awq_v2(const lb_file *file, const char *name, lb_stored *s)
{
    const lb_file_tensor *codes = lb_file_lookup(file, name, ".qweight"),
                         *scales = lb_file_lookup(file, name, ".scales"),
                         *zeros = lb_file_lookup(file, name, ".scaled_zeros");
    if (!scales || dim(scales, 0) < 1 || strcmp(codes->type, "I16") != 0)
        return lb_fail(LB_BAD_DATA, "tensor %s.qweight is %s, or comes without .scales", name,
                       codes->type);
    s->format = "awq_v2";
    s->n = dim(scales, 1);
    s->k = dim(codes, 1);
    s->group =
        dim(scales, 0) >= (s->k + 127) / 128 ? 128 : (s->k + dim(scales, 0) - 1) / dim(scales, 0);
    set_part(file, codes, LB_PART_CODES, s);
    set_part(file, scales, LB_PART_SCALES, s);
    set_part(file, zeros, LB_PART_OFFSETS, s);
    return LB_OK;
}

/* .B and .s of Marlin: int32 [K / 16][2 N]. */
static lb_status marlin(const lb_file *file, const char *name, lb_stored *s)
{
    const lb_file_tensor *codes = lb_file_lookup(file, name, ".B"),
                         *scales = lb_file_lookup(file, name, ".s");
    s->format = "marlin";
    s->n = dim(scales, 1);
    s->k = dim(codes, 0) * 16;
    s->group = dim(scales, 0) > 1 ? (s->k + dim(scales, 0) - 1) / dim(scales, 0) : 0;
    set_part(file, codes, LB_PART_CODES, s);
    set_part(file, scales, LB_PART_SCALES, s);
    return LB_OK;
}

/* .weight with .quant_state.bitsandbytes__nf4 (or fp4), .absmax, .quant_map, and what double
   quantisation adds. */
static lb_status bnb4(const lb_file *file, const char *name, const lb_file_tensor *described,
                      lb_stored *s)
{
    const lb_file_tensor *codes = lb_file_lookup(file, name, ".weight"),
                         *scales = lb_file_lookup(file, name, ".weight.absmax"),
                         *table = lb_file_lookup(file, name, ".weight.quant_map");
    const lb_bnb_state *state = described->state;
    bool nf4 = strstr(described->name, "__nf4") != NULL;
    if (!state || !scales || !table)
        return lb_fail(LB_BAD_DATA, "tensor %s%s", described->name,
                       state ? " comes without .absmax or .quant_map"
                             : ": its JSON lacks shape (two numbers) or blocksize");
    s->format = nf4 ? "bnb_nf4" : "bnb_fp4";
    s->n = state->n;
    s->k = state->k;
    s->group = state->block;
    set_part(file, codes, LB_PART_CODES, s);
    set_part(file, scales, LB_PART_SCALES, s);
    set_part(file, table, LB_PART_TABLE, s);
    if (strcmp(scales->type, "U8") != 0)
        return LB_OK;
    s->format = nf4 ? "bnb_nf4_double" : "bnb_fp4_double";
    set_part(file, lb_file_lookup(file, name, ".weight.nested_absmax"), LB_PART_SUPER, s);
    set_part(file, lb_file_lookup(file, name, ".weight.nested_quant_map"), LB_PART_SCALE_TABLE, s);
    s->part[LB_PART_SUPER_OFFSETS].data = &described->state->offset;
    s->part[LB_PART_SUPER_OFFSETS].bytes = sizeof state->offset;
    if (state->nested_block != 256)
        return lb_fail(LB_UNSUPPORTED, "tensor %s: nested_blocksize is %" PRId64 "; 256 is read",
                       described->name, state->nested_block);
    return LB_OK;
}

/* int8 .weight with .SCB. */
static lb_status bnb8(const lb_file *file, const char *name, lb_stored *s)
{
    const lb_file_tensor *codes = lb_file_lookup(file, name, ".weight");
    s->format = "bnb_int8";
    s->n = dim(codes, 0);
    s->k = dim(codes, 1);
    set_part(file, codes, LB_PART_CODES, s);
    set_part(file, lb_file_lookup(file, name, ".SCB"), LB_PART_SCALES, s);
    return LB_OK;
}

static lb_status pack_quantized(const lb_file *file, const char *name, lb_stored *s)
{
    const lb_file_tensor *codes = lb_file_lookup(file, name, ".weight_packed"),
                         *scales = lb_file_lookup(file, name, ".weight_scale"),
                         *shape = lb_file_lookup(file, name, ".weight_shape");
    int64_t sizes[2];
    if (!scales || !shape || shape->bytes != sizeof sizes)
        return lb_fail(LB_BAD_DATA,
                       "tensor %s.weight_packed comes without .weight_scale or .weight_shape (two "
                       "int64)",
                       name);
    memcpy(sizes, file->data + shape->offset, sizeof sizes);
    if (sizes[0] < 1 || sizes[1] < 1 || sizes[1] > INT32_MAX || dim(scales, 1) < 1)
        return lb_fail(LB_BAD_DATA,
                       "tensor %s.weight_shape (offset %" PRIu64 ") is %" PRId64 " x %" PRId64,
                       name, shape->offset, sizes[0], sizes[1]);
    s->format = "ct";
    s->n = sizes[0];
    s->k = sizes[1];
    s->bits = (int32_t)(dim(codes, 1) * 32 / s->k);
    s->group = dim(scales, 0) == 1 && s->n > 1 ? -1
               : dim(scales, 1) > 1            ? (s->k + dim(scales, 1) - 1) / dim(scales, 1)
                                               : 0;
    set_part(file, codes, LB_PART_CODES, s);
    set_part(file, scales, LB_PART_SCALES, s);
    set_part(file, lb_file_lookup(file, name, ".weight_zero_point"), LB_PART_ZEROS, s);
    set_part(file, lb_file_lookup(file, name, ".weight_g_idx"), LB_PART_ORDER, s);
    return LB_OK;
}

/* int8 with .weight_scale, or BitNet's packed quarters. */
static lb_status with_scale(const lb_file *file, const char *name, const char *format, lb_stored *s)
{
    const lb_file_tensor *codes = lb_file_lookup(file, name, ".weight"),
                         *scales = lb_file_lookup(file, name, ".weight_scale");
    bool packed = strcmp(codes->type, "U8") == 0;
    if (!packed && strcmp(codes->type, "I8") != 0)
        return lb_fail(LB_UNSUPPORTED, "tensor %s.weight: no format reads %s with a weight_scale",
                       name, codes->type);
    s->format = format ? format : packed ? "hf_bitnet" : "ct_int8";
    s->n = dim(codes, 0) * (packed ? 4 : 1);
    s->k = dim(codes, 1);
    s->group = scales->bytes <= 4 && s->n > 1 ? -1
               : dim(scales, 1) > 1           ? (s->k + dim(scales, 1) - 1) / dim(scales, 1)
                                              : 0;
    set_part(file, codes, LB_PART_CODES, s);
    set_part(file, scales, LB_PART_SCALES, s);
    return LB_OK;
}

static lb_status put_together(const lb_file *file, const char *name, const char *format,
                              lb_stored *s)
{
#define HAS(suffix) lb_file_lookup(file, name, suffix)
    const lb_file_tensor *t;
    if (HAS(".qweight") && HAS(".scaled_zeros"))
        return awq_v2(file, name, s);
    if (HAS(".qweight"))
        return gptq_or_awq(file, name, format, s);
    if (HAS(".weight_packed"))
        return pack_quantized(file, name, s);
    if (HAS(".B") && HAS(".s"))
        return marlin(file, name, s);
    if (HAS(".weight") && ((t = HAS(".weight.quant_state.bitsandbytes__nf4")) ||
                           (t = HAS(".weight.quant_state.bitsandbytes__fp4"))))
        return bnb4(file, name, t, s);
    if (HAS(".weight") && HAS(".SCB"))
        return bnb8(file, name, s);
    if (HAS(".weight") && HAS(".weight_scale"))
        return with_scale(file, name, format, s);
    if ((t = HAS(".weight")))
        return one_tensor(file, t, format, s);
    return lb_fail(LB_INVALID_ARGUMENT,
                   "the file has no tensor %s (nor %s.weight, .qweight, .weight_packed, .B)", name,
                   name);
#undef HAS
}

lb_status lb_file_find(const lb_file *file, const char *name, const char *format, lb_stored *stored)
{
    LB_CHECK_STRUCT(stored, lb_stored);
    if (!file || !name)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_file_find: %s is NULL", file ? "name" : "file");
    lb_stored s = LB_STORED_INIT;
    const lb_file_tensor *t = lb_file_lookup(file, name, "");
    if (t && strcmp(file->kind, "lbw") == 0)
        LB_TRY(lb_lbw_find(file, (size_t)(t - file->tensor), &s));
    else
        LB_TRY(t ? one_tensor(file, t, format, &s) : put_together(file, name, format, &s));
    lb_matrix checked;
    if (lb_matrix_open(&s, false, &checked) != LB_OK) {
        char why[400];
        snprintf(why, sizeof why, "%s", lb_last_error());
        return lb_fail(LB_BAD_DATA, "tensor %s: %s", name, why);
    }
    s.format = checked.format->name; /* which outlives the caller's */
    *stored = s;
    return LB_OK;
}

/* ---- Names ----------------------------------------------------------------------------------- */

/* What makes a layer, and what goes with it. "*": whatever follows. */
static const struct layer_kind {
    const char *codes, *needs;
    const char *parts[6];
} layer_kinds[] = {
    {".qweight", ".scales", {".scales", ".qzeros", ".g_idx", ".scaled_zeros"}},
    {".weight_packed",
     ".weight_scale",
     {".weight_scale", ".weight_shape", ".weight_zero_point", ".weight_g_idx"}},
    {".B", ".s", {".s", ".workspace"}},
    {".weight",
     ".weight.absmax",
     {".weight.absmax", ".weight.quant_map", ".weight.nested_absmax", ".weight.nested_quant_map",
      ".weight.quant_state.*"}},
    {".weight", ".SCB", {".SCB", ".weight_format"}},
    {".weight", ".weight_scale", {".weight_scale"}},
};
enum { LAYER_KINDS = sizeof layer_kinds / sizeof *layer_kinds };

/* Length of the name without the suffix, or 0. */
static size_t before(const char *name, const char *suffix)
{
    size_t length = strlen(suffix), whole = strlen(name);
    if (suffix[length - 1] == '*') {
        const char *at = strstr(name, ".weight.quant_state.");
        return at ? (size_t)(at - name) : 0;
    }
    return whole > length && strcmp(name + whole - length, suffix) == 0 ? whole - length : 0;
}

static bool is_layer(const lb_file *file, const char *prefix, const struct layer_kind *kind)
{
    return lb_file_lookup(file, prefix, kind->codes) && lb_file_lookup(file, prefix, kind->needs);
}

/* The matrix that a tensor stands for, in `name`, which holds the tensor's; false: it is a part of
   another. */
static bool matrix_name(const lb_file *file, char *name)
{
    size_t length;
    for (int i = 0; i < LAYER_KINDS; i++) {
        const struct layer_kind *kind = &layer_kinds[i];
        for (int part = -1; part < 6; part++) {
            const char *suffix = part < 0 ? kind->codes : kind->parts[part];
            if (!suffix || !(length = before(name, suffix)))
                continue;
            char kept = name[length];
            name[length] = 0;
            if (is_layer(file, name, kind))
                return part < 0;
            name[length] = kept;
        }
    }
    return true;
}

lb_status lb_file_list(lb_file *file)
{
    bool whole = strcmp(file->kind, "safetensors") != 0;
    file->matrix = calloc(file->count + 1, sizeof *file->matrix);
    if (!file->matrix)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for %zu names", file->count);
    for (size_t i = 0; i < file->count; i++) {
        char *name = strndup(file->tensor[i].name, strlen(file->tensor[i].name));
        if (!name)
            return lb_fail(LB_OUT_OF_MEMORY, "no memory for a name");
        if (whole || matrix_name(file, name))
            file->matrix[file->matrices++] = name;
        else
            free(name);
    }
    return LB_OK;
}

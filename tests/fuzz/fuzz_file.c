/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoint files under libFuzzer: whatever the bytes, a file is read or refused. KIND says which;
 * its magic is put in place, and the checksums of .lbw files are made right, because no mutation
 * would find either.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "lbw.h"

enum { GGUF, SAFETENSORS, LBW };
#define MOST_ELEMENTS 65536

static void fix_lbw(uint8_t *data, size_t bytes)
{
    lbw_header h;
    size_t from = offsetof(lbw_header, version);
    if (bytes < sizeof h)
        return;
    memcpy(&h, data, sizeof h);
    memcpy(h.magic, LBW_MAGIC, sizeof h.magic);
    h.version = LBW_VERSION;
    h.bytes = bytes;
    h.tensors %= 8; /* so that tables fit */
    h.packs %= 4;
    h.names %= 256;
    uint64_t table = lbw_table_bytes(&h);
    memcpy(data, &h, sizeof h);
    if (table > bytes)
        return;
    for (uint64_t i = 0; i < h.tensors; i++) {
        lbw_tensor t;
        uint8_t *at = data + sizeof h + i * sizeof t;
        memcpy(&t, at, sizeof t);
        for (int p = 0; p < LB_PART_COUNT; p++)
            if (t.part[p].offset <= bytes && t.part[p].bytes <= bytes - t.part[p].offset)
                t.part[p].checksum = lb_hash64(data + t.part[p].offset, (size_t)t.part[p].bytes);
        memcpy(at, &t, sizeof t);
    }
    h.checksum = lb_hash64(data + from, (size_t)table - from);
    memcpy(data, &h, sizeof h);
}

/* Everything that can be done with a matrix without a device. */
static void use(const lb_stored *w)
{
    static float row[MOST_ELEMENTS];
    static int32_t perm[MOST_ELEMENTS];
    int32_t terms = 0;
    if (w->k > MOST_ELEMENTS || w->n < 1 || w->k < 1)
        return;
    (void)lb_stored_values(w, 0, 1, row);
    (void)lb_stored_values(w, w->n - 1, 1, row);
    (void)lb_stored_order(w, perm);
    for (int32_t t = 0; lb_stored_terms(w, &terms) == LB_OK && t < terms; t++) {
        lb_problem p = LB_PROBLEM_INIT;
        (void)lb_stored_problem(w, t, &p);
    }
    if (w->n > MOST_ELEMENTS / w->k)
        return;
    lb_stored canon = LB_STORED_INIT;
    canon.format = "canon";
    if (lb_stored_like(w, 0, &canon) != LB_OK)
        return;
    for (int i = 0; i < LB_PART_COUNT; i++)
        canon.part[i].data = canon.part[i].bytes ? malloc(canon.part[i].bytes) : NULL;
    (void)lb_repack(w, &canon, 0, NULL);
    for (int i = 0; i < LB_PART_COUNT; i++)
        free(canon.part[i].data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    lb_file *file = NULL;
    uint8_t *copy = malloc(bytes + 1); /* its end is the end */
    if (bytes)
        memcpy(copy, data, bytes);
    if (KIND == GGUF && bytes >= 4)
        memcpy(copy, "GGUF", 4);
    if (KIND == SAFETENSORS && bytes >= 9)
        copy[8] = '{';
    if (KIND == LBW)
        fix_lbw(copy, bytes);
    if (lb_file_parse(copy, bytes, &file) == LB_OK) {
        const char *name;
        for (size_t i = 0; i < 16 && lb_file_get_matrix(file, i, &name) == LB_OK; i++) {
            lb_stored w = LB_STORED_INIT;
            const void *blob;
            size_t size;
            if (lb_file_find(file, name, NULL, &w) == LB_OK)
                use(&w);
            (void)lb_file_find_packed(file, name, 0, "rows", &blob, &size);
        }
        lb_file_close(file);
    }
    free(copy);
    return 0;
}

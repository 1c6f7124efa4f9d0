/* SPDX-License-Identifier: Apache-2.0 */
/* Stored weights packed by several threads: the bytes that one thread makes, and its sentences. */
#include "formats.h"
#include "threads.h"

enum { N = 1600, K = 512 }; /* a last piece of rows that is short */

typedef struct packing {
    lb_stored stored;
    lb_plan *plan; /* of a context with several threads */
    size_t bytes;
    char *expected;
} packing;

static lb_status open_plan(const lb_stored *w, int32_t threads, lb_context **context,
                           lb_plan **plan)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_problem p = LB_PROBLEM_INIT;
    desc.device = "ref";
    desc.host_threads = threads;
    p.m = 1;
    p.a.type = p.d.type = LB_TYPE_F32;
    lb_status status = lb_context_create(&desc, context);
    if (status == LB_OK)
        status = lb_stored_problem(w, 0, &p);
    return status == LB_OK ? lb_plan_create(*context, &p, NULL, plan) : status;
}

static void pack(int index, void *shared)
{
    packing *p = shared;
    char *blob = malloc(p->bytes);
    (void)index;
    EXPECT_OK(lb_weights_pack_stored(p->plan, &p->stored, 0, blob, p->bytes));
    EXPECT(memcmp(blob, p->expected, p->bytes) == 0, "other bytes of %s", p->stored.format);
    free(blob);
}

/* A scale that is none, in the last row of all. */
static void refuse(packing *p)
{
    char *blob = malloc(p->bytes);
    uint16_t *scales = p->stored.part[LB_PART_SCALES].data;
    if (scales) {
        bool bf16 = strcmp(p->stored.format, "ct") == 0;
        scales[p->stored.part[LB_PART_SCALES].bytes / 2 - 1] = bf16 ? 0x7f80 : 0x7c00;
        EXPECT(lb_weights_pack_stored(p->plan, &p->stored, 0, blob, p->bytes) == LB_BAD_DATA,
               "%s with an infinite scale", p->stored.format);
        EXPECT(strstr(lb_last_error(), "row 1599, group 3: scale inf is not finite"), "'%s'",
               lb_last_error());
    }
    free(blob);
}

int main(void)
{
    static const char *const formats[] = {"gptq", "awq", "ct", "q4_0", "q4_k", "i2_s"};
    uint64_t seed = 3;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        packing p;
        lb_context *context, *several;
        lb_plan *plan;
        lb_plan_info info = LB_PLAN_INFO_INIT;
        int64_t group = strcmp(formats[i], "i2_s") == 0 ? -1 : 128;
        NEED_OK(stored_describe(formats[i], N, K, 4, group, false, &p.stored));
        stored_alloc(&p.stored);
        NEED_OK(stored_fill(&p.stored, &seed));
        NEED_OK(open_plan(&p.stored, 0, &context, &plan));
        NEED_OK(open_plan(&p.stored, 4, &several, &p.plan));
        NEED_OK(lb_plan_get_info(plan, &info));
        p.bytes = (size_t)info.weights_bytes;
        p.expected = malloc(p.bytes);
        NEED_OK(lb_weights_pack_stored(plan, &p.stored, 0, p.expected, p.bytes));
        run_together(3, pack, &p);
        refuse(&p);
        free(p.expected);
        lb_plan_destroy(plan);
        lb_plan_destroy(p.plan);
        lb_context_destroy(context);
        lb_context_destroy(several);
        stored_free(&p.stored);
    }
    return conclude();
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Plans, weights and runs: what happens once, what happens at load time, and what happens every
 * call. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "problem.h"
#include "select.h"
#include "status.h"
#include "sums.h"
#include "tuning.h"
#include "types.h"
#include "weights.h"

/* ---- Plans ----------------------------------------------------------------------------------- */

/* One allocation, so that a plan is one object to free. */
typedef struct plan_block {
    lb_plan plan;
    lb_blob_header blob;
} plan_block;

static uint32_t kargs_flags(const lb_problem *p)
{
    return (lb_problem_is_raw(p) ? LB_KF_RAW : 0) | (p->a.scale ? LB_KF_A_SCALE : 0) |
           (p->a.scale == LB_PER_TOKEN ? LB_KF_A_SCALE_TOKEN : 0) | (p->a.zero ? LB_KF_A_ZERO : 0) |
           (p->a.zero == LB_PER_TOKEN ? LB_KF_A_ZERO_TOKEN : 0) | (p->b.scale ? LB_KF_B_SCALE : 0) |
           (p->b.zero && !lb_problem_is_stepped(p) ? LB_KF_B_ZERO : 0) |
           (lb_problem_is_stepped(p) ? LB_KF_B_STEP : 0) | (p->bias ? LB_KF_BIAS : 0) |
           (p->residual.type ? LB_KF_RESIDUAL : 0) |
           (p->residual.scale ? LB_KF_RESIDUAL_SCALE : 0) | (p->clamp ? LB_KF_CLAMP : 0) |
           (p->d.scale ? LB_KF_D_SCALE : 0) |
           (p->d.scale == LB_PER_CHANNEL ? LB_KF_D_SCALE_CHANNEL : 0) |
           (p->d.scale == LB_PER_TOKEN ? LB_KF_D_SCALE_TOKEN : 0) |
           (p->residual.scale == LB_PER_CHANNEL ? LB_KF_RESIDUAL_SCALE_CHANNEL : 0) |
           (p->residual.zero ? LB_KF_RESIDUAL_ZERO : 0) |
           (lb_problem_is_fixed(p) ? LB_KF_FIXED : 0) | (p->d.zero ? LB_KF_D_ZERO : 0) |
           (p->b_table > LB_PER_TENSOR ? LB_KF_TABLE_GROUP : 0) |
           (lb_problem_is_integer(p) ? 0 : LB_KF_FLOAT_A);
}

static lb_kargs make_kargs(const lb_problem *p, const lb_blob_header *blob)
{
    return (lb_kargs){
        .m = (lb_i32)p->m,
        .n = (lb_i32)p->n,
        .k = (lb_i32)p->k,
        .batch = (lb_i32)p->batch,
        .groups = (lb_i32)blob->groups,
        .group = (lb_i32)blob->group,
        .n_pad = (lb_i32)blob->n_pad,
        .k_pad = (lb_i32)blob->k_pad,
        .flags = kargs_flags(p),
        .a_type = p->a.type,
        .b_type = p->b.type,
        .d_type = p->d.type,
        .bias_type = p->bias,
        .residual_type = p->residual.type,
        .activation = p->activation,
        .rounding = p->rounding,
        .clamp_min = p->clamp_min,
        .clamp_max = p->clamp_max,
        .act_three = p->act_three,
        .act_shift = p->act_shift,
        .a_ld = p->a.ld,
        .d_ld = p->d.ld,
        .r_ld = p->residual.ld,
        .a_batch = p->a.batch_stride,
        .d_batch = p->d.batch_stride,
        .r_batch = p->residual.batch_stride,
        .w_codes = blob->codes,
        .w_scale = blob->scale,
        .w_zero = blob->zero,
        .w_sum = blob->sum,
        .w_codes_batch = blob->codes_batch,
        .w_meta_batch = blob->meta_batch,
        .w_table = blob->table,
        .w_table_batch = blob->table_batch,
        .steps = (lb_i32)blob->steps,
        .step_group = (lb_i32)blob->step_group,
        .w_step = blob->step,
        .w_step_batch = blob->step_batch,
    };
}

/* The row that a plan names with parameters of its own. */
static lb_status make_variant(const lb_context *context, const lb_plan_desc *desc,
                              lb_kernel **variant)
{
    const lb_backend *backend = context->backend;
    if (!desc->kernel)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_plan_create: parameters '%s' need a kernel that they belong to",
                       desc->parameters);
    for (size_t i = 0; i < *backend->row_count; i++)
        if (strcmp(backend->rows[i].name, desc->kernel) == 0) {
            if (!*desc->parameters)
                return LB_OK; /* the row's own */
            if (backend->variant)
                return backend->variant(&backend->rows[i], desc->parameters, variant);
            return lb_fail(LB_INVALID_ARGUMENT,
                           "lb_plan_create: kernels of backend %s have no parameters, not '%s'",
                           backend->name, desc->parameters);
        }
    return LB_OK; /* lb_select_best says that there is none */
}

/* Chooses the row; *variant is the plan's to free. */
static lb_status choose(const lb_context *context, const lb_problem *p, const lb_plan_desc *desc,
                        lb_candidate *best, lb_kernel **variant)
{
    const lb_backend *backend = context->backend;
    const lb_device *device = &context->device;
    *variant = NULL;
    if (!desc || !desc->parameters)
        return lb_select_best(backend, p, device, desc, lb_tuning_find(context, p), best);
    LB_TRY(make_variant(context, desc, variant));
    if (!*variant)
        return lb_select_best(backend, p, device, desc, NULL, best);
    lb_select_judge(*variant, p, device, desc, best);
    if (best->accepted)
        return LB_OK;
    free(*variant);
    *variant = NULL;
    return lb_fail(LB_UNSUPPORTED, "kernel %s refuses because %s", desc->kernel, best->reason);
}

lb_status lb_plan_create(lb_context *context, const lb_problem *problem, const lb_plan_desc *desc,
                         lb_plan **plan)
{
    if (!context || !plan)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_plan_create: %s is NULL",
                       context ? "plan" : "context");
    if (desc) {
        LB_CHECK_STRUCT(desc, lb_plan_desc);
        if (desc->flags & ~(LB_PLAN_BATCH_INVARIANT | LB_PLAN_PROVEN_ONLY))
            return lb_fail(LB_INVALID_ARGUMENT,
                           "lb_plan_create: flags 0x%x has unknown bits; LB_PLAN_* are 0x3",
                           desc->flags);
    }
    lb_problem p;
    lb_candidate best;
    LB_TRY(lb_problem_normalise(problem, &p));
    lb_kernel *variant;
    LB_TRY(choose(context, &p, desc, &best, &variant));

    plan_block *block = calloc(1, sizeof *block);
    if (!block) {
        free(variant);
        return lb_fail(LB_OUT_OF_MEMORY, "lb_plan_create: no memory for a plan");
    }
    lb_plan *made = &block->plan;
    const lb_layout *layout = lb_layout_find(best.row->layout);
    lb_status status = layout ? lb_blob_plan(&p, layout, &block->blob)
                              : lb_fail(LB_INTERNAL, "kernel %s names the unknown layout %s",
                                        best.row->name, best.row->layout);
    if (status == LB_OK) {
        made->context = context;
        made->problem = p;
        made->row = best.row;
        made->variant = variant;
        made->tuned = best.tuned;
        made->workspace_bytes = best.workspace_bytes;
        made->cost = best.cost;
        made->blob = &block->blob;
        made->kargs = make_kargs(&p, &block->blob);
        status = context->backend->plan_open(made);
    }
    if (status != LB_OK) {
        free(variant);
        free(block);
        return status;
    }
    *plan = made;
    return LB_OK;
}

void lb_plan_destroy(lb_plan *plan)
{
    if (!plan)
        return;
    plan->context->backend->plan_close(plan);
    free(plan->variant);
    free(plan); /* the first member of its block */
}

lb_status lb_plan_get_info(const lb_plan *plan, lb_plan_info *info)
{
    if (!plan)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_plan_get_info: plan is NULL");
    LB_CHECK_STRUCT(info, lb_plan_info);
    uint32_t flags = plan->row->flags;
    *info = (lb_plan_info){
        .struct_size = sizeof *info,
        .exact = lb_problem_is_exact(&plan->problem),
        .deterministic = !(flags & LB_ROW_NONDETERMINISTIC),
        .batch_invariant = (flags & LB_ROW_BATCH_INVARIANT) != 0,
        .proven = lb_row_proven(plan->row, &plan->context->device),
        .launches = plan->launches,
        .workspace_bytes = plan->workspace_bytes,
        .workspace_align = LB_MEMORY_ALIGN,
        .weights_bytes = plan->blob->bytes,
        .weights_align = LB_MEMORY_ALIGN,
        .predicted_seconds = plan->cost,
        .kernel = plan->row->name,
        .layout = plan->row->layout,
        .parameters = plan->row->parameters ? plan->row->parameters : "",
        .tuned = plan->tuned,
    };
    return LB_OK;
}

/* ---- Weights --------------------------------------------------------------------------------- */

lb_status lb_weights_pack(const lb_plan *plan, const lb_weights_source *source, void *blob,
                          size_t bytes)
{
    if (!plan || !blob)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_weights_pack: %s is NULL", plan ? "blob" : "plan");
    if (bytes < plan->blob->bytes)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_weights_pack: the blob takes %" PRIu64 " bytes, there are %zu",
                       plan->blob->bytes, bytes);
    if ((uintptr_t)blob % 8)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_weights_pack: blob %p is not aligned to 8 bytes",
                       blob);
    return lb_blob_pack(&plan->problem, plan->blob, source, blob);
}

/* A cl_mem's base is a handle, everybody else's an address. */
static bool is_handle(const lb_context *context)
{
    return strcmp(context->backend->name, "opencl") == 0;
}

/* Where `pointer` begins, in memory of its own (a handle's) or in the one address space. */
static uint64_t start_of(const lb_context *context, lb_ptr pointer)
{
    return pointer.offset + (is_handle(context) ? 0 : (uintptr_t)pointer.base);
}

static lb_status check_alignment(const lb_context *context, const char *name, lb_ptr pointer,
                                 unsigned align)
{
    uint64_t address = start_of(context, pointer);
    if (address % align)
        return lb_fail(LB_INVALID_ARGUMENT, "%s: address 0x%" PRIx64 " is not aligned to %u bytes",
                       name, address, align);
    return LB_OK;
}

/* Weights in *memory, or where that is NULL in memory of their own, still without content. `name`:
   of the pointer, for what is said of it. */
static lb_status make_weights(const lb_plan *plan, const char *name, const lb_ptr *memory,
                              lb_weights **weights)
{
    if (memory && !memory->base)
        return lb_fail(LB_INVALID_ARGUMENT, "%s->base is NULL", name);
    if (memory)
        LB_TRY(check_alignment(plan->context, name, *memory, LB_MEMORY_ALIGN));
    lb_weights *made = calloc(1, sizeof *made);
    if (!made)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for a weights handle");
    made->context = plan->context;
    made->layout = lb_layout_find(plan->row->layout);
    made->header = *plan->blob;
    made->owned = !memory;
    lb_status status = LB_OK;
    if (memory)
        made->memory = *memory;
    else
        status =
            plan->context->backend->alloc(plan->context, (size_t)plan->blob->bytes, &made->memory);
    if (status != LB_OK) {
        free(made);
        return status;
    }
    *weights = made;
    return LB_OK;
}

lb_status lb_weights_reserve(const lb_plan *plan, const lb_ptr *memory, lb_weights **weights)
{
    if (!plan || !weights)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_weights_reserve: %s is NULL",
                       plan ? "weights" : "plan");
    return make_weights(plan, "lb_weights_reserve: memory", memory, weights);
}

lb_status lb_weights_load(const lb_plan *plan, const void *blob, size_t bytes, const lb_ptr *memory,
                          lb_weights **weights)
{
    lb_weights *made;
    if (!plan || !weights)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_weights_load: %s is NULL",
                       plan ? "weights" : "plan");
    LB_TRY(lb_blob_check(plan->blob, blob, bytes));
    LB_TRY(make_weights(plan, "lb_weights_load: memory", memory, &made));
    lb_status status =
        plan->context->backend->write(plan->context, made->memory, blob, bytes, NULL);
    if (status != LB_OK) {
        lb_weights_destroy(made);
        return status;
    }
    *weights = made;
    return LB_OK;
}

lb_status lb_weights_create(const lb_plan *plan, const lb_weights_source *source,
                            lb_weights **weights)
{
    if (!plan || !weights)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_weights_create: %s is NULL",
                       plan ? "weights" : "plan");
    void *blob = malloc((size_t)plan->blob->bytes);
    if (!blob)
        return lb_fail(LB_OUT_OF_MEMORY,
                       "lb_weights_create: no memory for a blob of %" PRIu64 " bytes",
                       plan->blob->bytes);
    lb_status status = lb_weights_pack(plan, source, blob, (size_t)plan->blob->bytes);
    if (status == LB_OK)
        status = lb_weights_load(plan, blob, (size_t)plan->blob->bytes, NULL, weights);
    free(blob);
    return status;
}

void lb_weights_destroy(lb_weights *weights)
{
    if (!weights)
        return;
    if (weights->owned)
        weights->context->backend->free(weights->context, weights->memory);
    free(weights);
}

const char *lb_weights_layout(const lb_weights *weights)
{
    return weights ? weights->layout->name : "";
}

/* ---- Run ------------------------------------------------------------------------------------- */

static lb_status check_weights(const lb_plan *plan, const lb_weights *weights)
{
    if (!weights)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_run: weights is NULL");
    if (weights->context != plan->context)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_run: the weights belong to another context than the plan");
    if (memcmp(&weights->header, plan->blob, sizeof weights->header) != 0)
        return lb_fail(
            LB_INVALID_ARGUMENT,
            "lb_run: the weights (%s in layout %s, n %" PRId64 " k %" PRId64 " batch %" PRId64
            ") are not those of the plan (%s, %s, n %" PRId64 " k %" PRId64 " batch %" PRId64
            ") or differ in groups, scales or zero points",
            lb_type_name(weights->header.type), weights->header.layout, weights->header.n,
            weights->header.k, weights->header.batch, lb_type_name(plan->blob->type),
            plan->blob->layout, plan->blob->n, plan->blob->k, plan->blob->batch);
    return LB_OK;
}

static bool same_memory(const lb_context *context, lb_ptr a, lb_ptr b)
{
    return !is_handle(context) || a.base == b.base;
}

static bool overlaps(const lb_context *context, lb_ptr a, uint64_t a_bytes, lb_ptr b,
                     uint64_t b_bytes)
{
    uint64_t from_a = start_of(context, a), from_b = start_of(context, b);
    return same_memory(context, a, b) && from_a < from_b + b_bytes && from_b < from_a + a_bytes;
}

/* An array of a call: its name in lb_args. */
typedef struct array {
    const char *name;
    lb_ptr pointer;
    uint64_t bytes;
    unsigned align; /* bytes */
} array;

static lb_status check_apart(const lb_context *context, array output, array other)
{
    if (output.bytes && overlaps(context, output.pointer, output.bytes, other.pointer, other.bytes))
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_run: %s (offset %zu, %" PRIu64 " bytes) overlaps %s (offset %zu)",
                       output.name, output.pointer.offset, output.bytes, other.name,
                       other.pointer.offset);
    return LB_OK;
}

/* Whole bytes of an element; 1 for narrower ones. */
static unsigned element_bytes(int32_t type)
{
    int bits = lb_type_bits(type);
    return bits < 8 ? 1 : (unsigned)bits / 8;
}

/* Every pointer the problem asks for must be there, and neither D nor its sums may lie over an
   input or each other. */
static lb_status check_pointers(const lb_plan *plan, const lb_args *args, const lb_sizes *sizes)
{
    const lb_problem *p = &plan->problem;
    const array d = {"d", args->d, sizes->d, element_bytes(p->d.type)};
    const array sums = {"d_sums", args->d_sums, sizes->d_sums, 4};
    const array table[] = {
        sums,
        {"a", args->a, sizes->a, element_bytes(p->a.type)},
        {"a_scale", args->a_scale, sizes->a_scale, 4},
        {"a_zero", args->a_zero, sizes->a_zero, 4},
        {"d_scale", args->d_scale, sizes->d_scale, 4},
        {"d_zero", args->d_zero, sizes->d_zero, 4},
        {"bias", args->bias, sizes->bias, element_bytes(p->bias)},
        {"residual", args->residual, sizes->residual, element_bytes(p->residual.type)},
        {"residual_scale", args->residual_scale, sizes->residual_scale, 4},
        {"residual_zero", args->residual_zero, sizes->residual_zero, 4},
        {"random", args->random, sizes->random, 8},
        {"workspace", args->workspace, plan->workspace_bytes, 1},
    };
    if (!args->d.base)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_run: d is NULL");
    LB_TRY(check_alignment(plan->context, "lb_run: d", d.pointer, d.align));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (!table[i].bytes)
            continue;
        if (!table[i].pointer.base)
            return lb_fail(LB_INVALID_ARGUMENT,
                           "lb_run: %s is NULL; the problem needs %" PRIu64 " bytes there",
                           table[i].name, table[i].bytes);
        LB_TRY(check_alignment(plan->context, table[i].name, table[i].pointer, table[i].align));
        bool in_place =
            same_memory(plan->context, table[i].pointer, args->d) &&
            start_of(plan->context, table[i].pointer) == start_of(plan->context, args->d) &&
            p->residual.type == p->d.type && p->residual.ld == p->d.ld &&
            p->residual.batch_stride == p->d.batch_stride && strcmp(table[i].name, "residual") == 0;
        if (!in_place)
            LB_TRY(check_apart(plan->context, d, table[i]));
        if (i > 0)
            LB_TRY(check_apart(plan->context, sums, table[i]));
    }
    if (plan->workspace_bytes) {
        if (args->workspace_bytes < plan->workspace_bytes)
            return lb_fail(LB_INVALID_ARGUMENT,
                           "lb_run: workspace_bytes is %zu, the plan needs %" PRIu64,
                           args->workspace_bytes, plan->workspace_bytes);
        LB_TRY(
            check_alignment(plan->context, "lb_run: workspace", args->workspace, LB_MEMORY_ALIGN));
    }
    return LB_OK;
}

lb_status lb_run_check(const lb_plan *plan, const lb_args *args, lb_sizes *sizes)
{
    if (!plan)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_run: plan is NULL");
    LB_CHECK_STRUCT(args, lb_args);
    const lb_problem *p = &plan->problem;
    if (args->flags & ~LB_RUN_OVERLAP)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_run: flags 0x%x has unknown bits; LB_RUN_OVERLAP is 1", args->flags);
    if (args->m < 0 || args->m > p->m)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_run: m is %" PRId64 ", the plan takes 1 to %" PRId64 " (0 = all)",
                       args->m, p->m);
    if (args->m && args->m != p->m && p->batch > 1)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_run: m %" PRId64 " of %" PRId64 " with batch %" PRId64
                       "; batches are run whole, use m 0",
                       args->m, p->m, p->batch);
    LB_TRY(check_weights(plan, args->weights));

    lb_problem call = *p;
    call.m = args->m ? args->m : p->m;
    lb_problem_sizes_of(&call, sizes);
    if (args->d_sums.base)
        return lb_sums_check(p);
    sizes->d_sums = 0;
    return LB_OK;
}

lb_status lb_run(const lb_plan *plan, const lb_args *args, lb_stream stream)
{
    lb_sizes sizes;
    LB_TRY(lb_run_check(plan, args, &sizes));
    const lb_problem *p = &plan->problem;
    if (p->m == 0 || p->n == 0)
        return LB_OK;
    LB_TRY(check_pointers(plan, args, &sizes));

    lb_kargs kargs = plan->kargs;
    kargs.m = (lb_i32)(args->m ? args->m : p->m);
    const lb_ptr pointers[LB_PTR_COUNT] = {
        [LB_PTR_A] = args->a,
        [LB_PTR_W] = args->weights->memory,
        [LB_PTR_D] = args->d,
        [LB_PTR_A_SCALE] = args->a_scale,
        [LB_PTR_A_ZERO] = args->a_zero,
        [LB_PTR_BIAS] = args->bias,
        [LB_PTR_RESIDUAL] = args->residual,
        [LB_PTR_RESIDUAL_SCALE] = args->residual_scale,
        [LB_PTR_D_SCALE] = args->d_scale,
        [LB_PTR_D_ZERO] = args->d_zero,
        [LB_PTR_WORKSPACE] = args->workspace,
        [LB_PTR_RESIDUAL_ZERO] = args->residual_zero,
        [LB_PTR_RANDOM] = args->random,
    };
    for (int i = 0; i < LB_PTR_COUNT; i++)
        kargs.offset[i] = pointers[i].offset;
    return plan->context->backend->run(plan, args, &kargs, &sizes, stream);
}

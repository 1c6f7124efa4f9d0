/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modules: the fat binaries inside the library, loaded when the first plan of a context needs them.
 * The driver picks the machine code made for its device, or translates the PTX beside it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda.h"
#include "embedded.h"
#include "status.h"

struct lb_cuda_module {
    lb_cuda_module *next;
    const lb_embedded *image;
    CUmodule module;
};

bool lb_cuda_has_kernels(void)
{
    return lb_cuda_image_count > 0;
}

static const lb_embedded *find_image(const char *name)
{
    for (size_t i = 0; i < lb_cuda_image_count; i++)
        if (strcmp(lb_cuda_images[i].name, name) == 0)
            return &lb_cuda_images[i];
    return NULL;
}

static lb_status load(const lb_cuda_context *c, const lb_embedded *image, CUmodule *module)
{
    char log[2048] = "";
    int options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, lb_cuda_pointer(sizeof log - 1)};
    CUresult result = c->cu->cuModuleLoadDataEx(module, image->data, 2, options, values);
    if (result == CUDA_SUCCESS)
        return LB_OK;
    const char *hint = result == CUDA_ERROR_NO_BINARY_FOR_GPU
                           ? " (no machine code for this device; set LOWBIT_CUDA_ARCHS and rebuild)"
                           : "";
    char what[sizeof log + 256];
    snprintf(what, sizeof what, "%s%s%s%s", image->name, hint, log[0] ? ", which logged: " : "",
             log);
    return lb_cuda_check_of(result, "cuModuleLoadDataEx", what);
}

static lb_status get_locked(lb_cuda_context *c, const char *name, CUmodule *module)
{
    const lb_embedded *image = find_image(name);
    if (!image)
        return lb_fail(LB_INTERNAL, "the CUDA image %s is not in the library", name);
    for (lb_cuda_module *m = c->modules; m; m = m->next)
        if (m->image == image) {
            *module = m->module;
            return LB_OK;
        }
    lb_cuda_module *entry = calloc(1, sizeof *entry);
    if (!entry)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for a module entry");
    lb_status status = load(c, image, &entry->module);
    if (status != LB_OK) {
        free(entry);
        return status;
    }
    entry->image = image;
    entry->next = c->modules;
    c->modules = entry;
    *module = entry->module;
    return LB_OK;
}

lb_status lb_cuda_function_get(lb_cuda_context *c, const char *image, const char *name,
                               CUfunction *function)
{
    CUmodule module = NULL;
    pthread_mutex_lock(&c->lock);
    lb_status status = get_locked(c, image, &module);
    pthread_mutex_unlock(&c->lock);
    LB_TRY(status);
    LB_TRY(lb_cuda_check_of(c->cu->cuModuleGetFunction(function, module, name),
                            "cuModuleGetFunction", name));
    /* Drivers load a function's code when it is first used, which a capture or a run must not do.
     */
    if (c->cu->cuFuncLoad)
        LB_TRY(lb_cuda_check_of(c->cu->cuFuncLoad(*function), "cuFuncLoad", name));
    return LB_OK;
}

void lb_cuda_modules_unload(lb_cuda_context *c)
{
    while (c->modules) {
        lb_cuda_module *entry = c->modules;
        c->modules = entry->next;
        c->cu->cuModuleUnload(entry->module);
        free(entry);
    }
}

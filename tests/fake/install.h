/* SPDX-License-Identifier: Apache-2.0 */
/* The fake CUDA driver for a Criterion test: in libcuda's place, with images in place of the fat
 * binaries, so that such tests need no nvcc. */
#ifndef FAKE_INSTALL_H
#define FAKE_INSTALL_H

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "embedded.h"
#include "fake/fake.h"

/* FAKE_IMAGES has one per kernel file. */
const lb_embedded lb_cuda_images[] = {
    FAKE_IMAGES{"broken.fatbin", (const unsigned char *)"broken", 6},
};
const size_t lb_cuda_image_count = sizeof lb_cuda_images / sizeof *lb_cuda_images;

static void *fake_library;

/* Puts the fake driver, with these settings, where dlopen("libcuda.so.1") finds it: a library that
   is loaded already is found by its SONAME. */
static fake_cuda *install(const char *settings)
{
    fake_cuda_state_fn *state;
    setenv("LB_FAKE_CUDA", settings, 1);
    setenv("LOWBIT_CUBLASLT", FAKE_CUBLASLT, 0);
    fake_library = dlopen(FAKE_CUDA, RTLD_NOW | RTLD_LOCAL);
    cr_assert(fake_library, "%s", dlerror());
    void *symbol = dlsym(fake_library, "fake_cuda_state");
    memcpy(&state, &symbol, sizeof symbol);
    return state();
}

#endif

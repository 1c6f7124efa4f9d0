/* SPDX-License-Identifier: Apache-2.0 */
/* The same modes through the CUDA kernels, run by the fake driver; every fifth turn of the
 * multipliers. */
#include "fake/install.h"
#include "requantise_modes.h"

#ifdef __SANITIZE_ADDRESS__ /* which makes the emulator slow */
#define STEP 32
#else
#define STEP 5
#endif

static void compare_emulated(const char *settings)
{
    tally t = {.step = STEP};
    if (!install(settings)->runs_kernels)
        cr_skip_test("built without a C++ compiler");
    lb_context *reference = open_device("ref"), *device = open_device("cuda");
    make_operands();
    compare_all(reference, device, &t);
    compare_residuals(reference, device, &t);
    fprintf(stderr,
            "requantise: %ld cases, %ld elements, ref = CUDA kernels emulated (%s) bit for bit\n",
            t.cases, t.elements, settings);
    lb_context_destroy(device);
    lb_context_destroy(reference);
}

Test(cuda_requantise, every_mode_is_the_same_on_ampere, .timeout = 600)
{
    compare_emulated("sm=80");
}

Test(cuda_requantise, every_mode_is_the_same_on_hopper, .timeout = 600)
{
    compare_emulated("sm=90");
}

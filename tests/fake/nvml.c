/* SPDX-License-Identifier: Apache-2.0 */
/* NVML with one device, whose name is $FAKE_NVML_NAME and which draws 100 W from the start on. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned *count);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device);
int nvmlDeviceGetName(void *device, char *name, unsigned length);
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy);

int nvmlInit_v2(void)
{
    return 0;
}

int nvmlShutdown(void)
{
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = 1;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    static int only;
    *device = &only;
    return index == 0 ? 0 : 2;
}

int nvmlDeviceGetName(void *device, char *name, unsigned length)
{
    const char *mine = getenv("FAKE_NVML_NAME");
    (void)device;
    snprintf(name, length, "%s", mine ? mine : "none");
    return 0;
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy)
{
    struct timespec now;
    (void)device;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *energy = 100000ull * (unsigned long long)now.tv_sec + (unsigned long long)now.tv_nsec / 10000;
    return 0;
}

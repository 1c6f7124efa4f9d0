/* SPDX-License-Identifier: Apache-2.0 */
#include "energy.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"

/* The part of NVML that is used (docs.nvidia.com/deploy/nvml-api); 0 is success everywhere. */
typedef void *nvml_device;
struct qb_energy {
    int (*init)(void);
    int (*shutdown)(void);
    int (*count)(unsigned *count);
    int (*handle)(unsigned index, nvml_device *device);
    int (*name)(nvml_device device, char *name, unsigned length);
    int (*millijoules)(nvml_device device,
                       unsigned long long *energy); /* since the driver loaded */
    nvml_device device;
};

static bool load(qb_energy *e, void *library)
{
    const struct {
        const char *name;
        void *to;
    } table[] = {{"nvmlInit_v2", &e->init},
                 {"nvmlShutdown", &e->shutdown},
                 {"nvmlDeviceGetCount_v2", &e->count},
                 {"nvmlDeviceGetHandleByIndex_v2", &e->handle},
                 {"nvmlDeviceGetName", &e->name},
                 {"nvmlDeviceGetTotalEnergyConsumption", &e->millijoules}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!(*(void **)table[i].to = dlsym(library, table[i].name)))
            return false;
    return true;
}

/* The first device of that name: equal devices draw alike only under equal work, so with several of
 * one kind the first must be the one that works. */
static bool find(qb_energy *e, const char *wanted)
{
    unsigned count = 0;
    char name[128];
    unsigned long long energy;
    if (e->count(&count) != 0)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (e->handle(i, &e->device) == 0 && e->name(e->device, name, sizeof name) == 0 &&
            strcmp(name, wanted) == 0)
            return e->millijoules(e->device, &energy) == 0;
    return false;
}

qb_energy *qb_energy_open(const char *device, char *why, size_t capacity)
{
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL); /* stays loaded */
    qb_energy *e = calloc(1, sizeof *e);
    if (!library)
        snprintf(why, capacity, "no energy: there is no libnvidia-ml.so.1 (NVIDIA's driver)");
    else if (!e || !load(e, library) || e->init() != 0)
        snprintf(why, capacity, "no energy: libnvidia-ml.so.1 cannot be used");
    else if (find(e, device))
        return e;
    else {
        snprintf(why, capacity, "no energy: NVML has no counter for '%s'", device);
        e->shutdown();
    }
    free(e);
    return NULL;
}

void qb_energy_close(qb_energy *e)
{
    if (e)
        e->shutdown();
    free(e);
}

lb_status qb_energy_measure(qb_energy *e, qb_case *c, double seconds, double *joules)
{
    unsigned long long before = 0, after = 0;
    size_t runs = 0;
    lb_status status = lb_stream_sync(c->context, NULL);
    bool read = e->millijoules(e->device, &before) == 0;
    double start = qb_now();
    while (status == LB_OK && qb_now() - start < seconds) {
        /* a few at a time, so that the device never waits and the queue never grows long */
        for (int i = 0; status == LB_OK && i < 8; i++)
            status = qb_case_run(c, runs++);
        if (status == LB_OK)
            status = lb_stream_sync(c->context, NULL);
    }
    read = read && e->millijoules(e->device, &after) == 0 && after > before;
    if (status == LB_OK && !read)
        return LB_UNSUPPORTED;
    *joules = 1e-3 * (double)(after - before) / (double)runs;
    return status;
}

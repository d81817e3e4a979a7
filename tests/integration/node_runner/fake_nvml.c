/* A library that answers as NVIDIA's libnvidia-ml does on a computer with the GPUs that FAKE_GPUS lists, one in a
 * line: `NAME|MIB|USED MIB|PERCENT|UUID`. A line that begins with `+` is a MIG instance of the GPU above it.
 * FAKE_NVML=fail: the driver is broken; FAKE_NVML=hang: it never answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OK 0
#define NOT_SUPPORTED 3
#define NOT_FOUND 6
#define DRIVER_NOT_LOADED 9
#define MOST 16

struct gpu {
    char name[96], uuid[96];
    unsigned long long mib, used_mib;
    unsigned percent;
    int is_part;
};
struct memory {
    unsigned long long total, free, used;
};
struct load {
    unsigned gpu, memory;
};

static struct gpu gpus[MOST];
static int count;

static struct gpu *whole(unsigned index) {
    for (int n = 0; n < count; n++)
        if (!gpus[n].is_part && index-- == 0)
            return &gpus[n];
    return NULL;
}

static struct gpu *part(struct gpu *gpu, unsigned index) {
    for (gpu++; gpu < gpus + count && gpu->is_part; gpu++)
        if (index-- == 0)
            return gpu;
    return NULL;
}

static const char *text(int status) { return status == DRIVER_NOT_LOADED ? "Driver Not Loaded" : "Unknown Error"; }

int nvmlInitWithFlags(unsigned flags) {
    const char *mood = getenv("FAKE_NVML");
    if (mood && !strcmp(mood, "fail"))
        return DRIVER_NOT_LOADED;
    if (mood && !strcmp(mood, "hang"))
        pause();
    const char *rest = getenv("FAKE_GPUS");
    count = 0;
    while (rest && *rest && count < MOST) {
        struct gpu *gpu = &gpus[count];
        gpu->is_part = *rest == '+';
        rest += gpu->is_part;
        if (sscanf(rest, "%95[^|]|%llu|%llu|%u|%95[^\n]", gpu->name, &gpu->mib, &gpu->used_mib, &gpu->percent,
                   gpu->uuid) != 5)
            break;
        count++;
        rest = strchr(rest, '\n');
        rest = rest ? rest + 1 : "";
    }
    return OK;
}
const char *nvmlErrorString(int status) { return text(status); }
int nvmlDeviceGetCount_v2(unsigned *found) {
    *found = 0;
    while (whole(*found))
        ++*found;
    return OK;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct gpu **gpu) {
    *gpu = whole(index);
    return *gpu ? OK : NOT_FOUND;
}
int nvmlDeviceGetName(struct gpu *gpu, char *name, unsigned size) {
    snprintf(name, size, "%s", gpu->name);
    return OK;
}
int nvmlDeviceGetUUID(struct gpu *gpu, char *uuid, unsigned size) {
    snprintf(uuid, size, "%s", gpu->uuid);
    return OK;
}
int nvmlDeviceGetMemoryInfo(struct gpu *gpu, struct memory *memory) {
    if (gpu->mib == 0)
        return NOT_SUPPORTED;
    memory->total = gpu->mib << 20;
    memory->used = gpu->used_mib << 20;
    memory->free = memory->total - memory->used;
    return OK;
}
int nvmlDeviceGetUtilizationRates(struct gpu *gpu, struct load *load) {
    if (gpu->is_part)
        return NOT_SUPPORTED;
    load->gpu = gpu->percent;
    return OK;
}
int nvmlDeviceGetMigMode(struct gpu *gpu, unsigned *current, unsigned *pending) {
    *current = *pending = part(gpu, 0) != NULL;
    return OK;
}
int nvmlDeviceGetMaxMigDeviceCount(struct gpu *gpu, unsigned *most) {
    *most = 7;
    return OK;
}
int nvmlDeviceGetMigDeviceHandleByIndex(struct gpu *gpu, unsigned index, struct gpu **found) {
    *found = part(gpu, index);
    return *found ? OK : NOT_FOUND;
}

/* fault_vfs: see fault_vfs.h. */
#include "fault_vfs.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

static struct {
    enum fault kind;
    long at, calls;
    bool on, shown;
} now;

static bool fails(enum fault f) {
    if (now.kind != f)
        return false;
    now.calls++;
    bool fail = now.calls == now.at || (now.on && now.calls > now.at);
    now.shown = now.shown || fail;
    return fail;
}

void fault_arm(enum fault f, long at, bool on) {
    now.kind = f;
    now.at = at;
    now.on = on;
    now.calls = 0;
    now.shown = false;
}

bool fault_disarm(void) {
    now.kind = FAULT_NONE;
    return now.shown;
}

long fault_calls(void) {
    return now.calls;
}

/* ---- files */

static sqlite3_vfs *real, shim;
static sqlite3_io_methods methods;

struct file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct */
};

static sqlite3_file *under(sqlite3_file *f) {
    return ((struct file *)f)->real;
}

static int x_close(sqlite3_file *f) {
    return under(f)->pMethods->xClose(under(f));
}
static int x_read(sqlite3_file *f, void *out, int n, sqlite3_int64 at) {
    return under(f)->pMethods->xRead(under(f), out, n, at);
}
static int x_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at) {
    if (fails(FAULT_WRITE))
        return SQLITE_IOERR_WRITE;
    if (fails(FAULT_FULL))
        return SQLITE_FULL;
    if (!fails(FAULT_SHORT))
        return under(f)->pMethods->xWrite(under(f), data, n, at);
    (void)under(f)->pMethods->xWrite(under(f), data, n / 2, at);
    return SQLITE_FULL;
}
static int x_truncate(sqlite3_file *f, sqlite3_int64 n) {
    return fails(FAULT_WRITE) ? SQLITE_IOERR_TRUNCATE : under(f)->pMethods->xTruncate(under(f), n);
}
static int x_sync(sqlite3_file *f, int flags) {
    return fails(FAULT_SYNC) ? SQLITE_IOERR_FSYNC : under(f)->pMethods->xSync(under(f), flags);
}
static int x_size(sqlite3_file *f, sqlite3_int64 *ret) {
    return under(f)->pMethods->xFileSize(under(f), ret);
}
static int x_lock(sqlite3_file *f, int level) {
    return under(f)->pMethods->xLock(under(f), level);
}
static int x_unlock(sqlite3_file *f, int level) {
    return under(f)->pMethods->xUnlock(under(f), level);
}
static int x_reserved(sqlite3_file *f, int *ret) {
    return under(f)->pMethods->xCheckReservedLock(under(f), ret);
}
static int x_control(sqlite3_file *f, int op, void *arg) {
    return under(f)->pMethods->xFileControl(under(f), op, arg);
}
static int x_sector(sqlite3_file *f) {
    return under(f)->pMethods->xSectorSize(under(f));
}
static int x_traits(sqlite3_file *f) {
    return under(f)->pMethods->xDeviceCharacteristics(under(f));
}
static int x_shm_map(sqlite3_file *f, int page, int n, int extend, void volatile **ret) {
    return fails(FAULT_SHM) ? SQLITE_IOERR_SHMMAP
                            : under(f)->pMethods->xShmMap(under(f), page, n, extend, ret);
}
static int x_shm_lock(sqlite3_file *f, int at, int n, int flags) {
    return under(f)->pMethods->xShmLock(under(f), at, n, flags);
}
static void x_shm_barrier(sqlite3_file *f) {
    under(f)->pMethods->xShmBarrier(under(f));
}
static int x_shm_unmap(sqlite3_file *f, int remove) {
    return under(f)->pMethods->xShmUnmap(under(f), remove);
}

static int x_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out) {
    struct file *x = (struct file *)f;
    (void)v;
    x->real = (sqlite3_file *)(x + 1);
    int code = real->xOpen(real, name, x->real, flags, out);
    f->pMethods = x->real->pMethods ? &methods : NULL;
    return code;
}

/* ---- memory */

static sqlite3_mem_methods memory;

static void *sqlite_malloc(int n) {
    return fails(FAULT_MALLOC) ? NULL : memory.xMalloc(n);
}
static void *sqlite_realloc(void *p, int n) {
    return fails(FAULT_MALLOC) ? NULL : memory.xRealloc(p, n);
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n) {
    return fails(FAULT_MALLOC) ? NULL : __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t size) {
    return fails(FAULT_MALLOC) ? NULL : __real_calloc(n, size);
}
void *__wrap_realloc(void *p, size_t n) {
    return fails(FAULT_MALLOC) ? NULL : __real_realloc(p, n);
}

void fault_install(void) {
    sqlite3_mem_methods failing;
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory) != SQLITE_OK)
        abort();
    failing = memory;
    failing.xMalloc = sqlite_malloc;
    failing.xRealloc = sqlite_realloc;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &failing) != SQLITE_OK)
        abort();
    methods = (sqlite3_io_methods){2,        x_close,   x_read,     x_write,       x_truncate,  x_sync,
                                   x_size,   x_lock,    x_unlock,   x_reserved,    x_control,   x_sector,
                                   x_traits, x_shm_map, x_shm_lock, x_shm_barrier, x_shm_unmap, NULL,
                                   NULL};
    real = sqlite3_vfs_find(NULL);
    shim = *real;
    shim.zName = "fault";
    shim.szOsFile = (int)sizeof(struct file) + real->szOsFile;
    shim.xOpen = x_open;
    if (sqlite3_vfs_register(&shim, 1) != SQLITE_OK)
        abort();
}

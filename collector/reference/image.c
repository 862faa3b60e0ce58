/* image: the parts of an image reference. See values.h.
 *
 * github.com/distribution/reference (normalize.go, regexp.go): the first part of a path is a registry when it
 * holds '.' or ':', is "localhost" or has an uppercase letter, else it is docker.io's; what lies there
 * without a folder lies in "library"; "index.docker.io" is docker.io's old name. What has neither tag nor
 * digest is :latest. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "reference/values.h"

#define ALNUM "abcdefghijklmnopqrstuvwxyz0123456789"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool copy(char *out, size_t size, const char *from, size_t n) {
    if (n >= size)
        return false;
    memcpy(out, from, n);
    out[n] = 0;
    return true;
}

static bool all_of(const char *s, size_t n, const char *set) {
    return strspn(s, set) >= n;
}

static bool is_tag(const char *s, size_t n) {
    return n > 0 && n <= 128 && *s != '.' && *s != '-' && all_of(s, n, ALNUM UPPER "._-");
}

/* "sha256:" and at least 32 hexadecimal digits. */
static bool is_digest(const char *s) {
    size_t n = strspn(s, ALNUM UPPER "+._-");
    return n > 0 && s[n] == ':' && strlen(s + n + 1) >= 32 &&
           s[n + 1 + strspn(s + n + 1, "0123456789abcdefABCDEF")] == 0;
}

/* Is the first part of this path a registry? */
static bool is_registry(const char *s, size_t n) {
    return memchr(s, '.', n) || memchr(s, ':', n) || (n == 9 && memcmp(s, "localhost", 9) == 0) ||
           strcspn(s, UPPER) < n;
}

static bool is_path(const char *s) {
    if (!*s || *s == '/' || s[strlen(s) - 1] == '/' || strstr(s, "//"))
        return false;
    return all_of(s, strlen(s), ALNUM "._-/");
}

/* Repository from a text of n bytes without tag and digest. */
static bool take_repository(const char *text, size_t n, struct ref_image *ret) {
    char name[REF_IMAGE_MAX];
    if (!copy(name, sizeof name, text, n))
        return false;
    const char *slash = strchr(name, '/');
    size_t first = slash ? (size_t)(slash - name) : 0;
    bool registry = slash && is_registry(name, first);
    const char *path = registry ? slash + 1 : name;
    int domain = registry ? (int)first : 0;
    if (!is_path(path) || (registry && !all_of(name, first, ALNUM UPPER ".-:[]")))
        return false;
    bool docker = !registry || (first == 9 && memcmp(name, "docker.io", 9) == 0) ||
                  (first == 15 && memcmp(name, "index.docker.io", 15) == 0);
    const char *folder = docker && !strchr(path, '/') ? "library/" : "";
    int len = docker ? snprintf(ret->repository, sizeof ret->repository, "docker.io/%s%s", folder, path)
                     : snprintf(ret->repository, sizeof ret->repository, "%.*s/%s", domain, name, path);
    return len > 0 && (size_t)len < sizeof ret->repository;
}

int ref_image(const char *text, struct ref_image *ret) {
    struct ref_image i = {{0}, {0}, {0}};
    if (strnlen(text, REF_IMAGE_MAX) >= REF_IMAGE_MAX)
        return -EINVAL;
    size_t n = strcspn(text, "@");
    if (text[n] &&
        (!is_digest(text + n + 1) || !copy(i.digest, sizeof i.digest, text + n + 1, strlen(text + n + 1))))
        return -EINVAL;
    size_t end = n;
    while (end > 0 && text[end - 1] != ':' && text[end - 1] != '/')
        end--;
    if (end > 0 && text[end - 1] == ':') { /* a tag: a registry's port has a '/' after it */
        if (!is_tag(text + end, n - end) || !copy(i.tag, sizeof i.tag, text + end, n - end))
            return -EINVAL;
        n = end - 1;
    } else if (!*i.digest) {
        strcpy(i.tag, "latest");
    }
    if (!take_repository(text, n, &i))
        return -EINVAL;
    *ret = i;
    return 0;
}

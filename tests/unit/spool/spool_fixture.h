/* spool_fixture: what the spool's tests share: a folder for each, records whose content follows from their
 * number. */
#pragma once

#include "spool/spool_priv.h"

#define QUOTA (1 << 20)

extern const uint8_t boots[4][SPOOL_BOOT_BYTES];

int setup(void **state); /* *state: path of a new folder */
int teardown(void **state);
void empty_folder(const char *dir);

struct spool *open_quota(const char *dir, int64_t quota, int boot, uint64_t *torn);
struct spool *open_boot(const char *dir, int boot);

/* The next record of the living stream; at most 256 bytes. */
size_t content(uint64_t seq, uint8_t *out);
int append(struct spool *s, uint64_t *seq);
void append_n(struct spool *s, size_t n);

/* A spool_fn: *ctx is the next seq, and goes up. */
int check_record(void *ctx, uint64_t seq, const uint8_t *data, size_t len);
/* Reads from..end in batches and asserts that nothing is missing or different. */
void assert_reads(struct spool *s, int boot, uint64_t from, uint64_t end);

char *segment_path(const char *dir, int boot, uint64_t first); /* in a static buffer */
off_t file_size(const char *path);
size_t count_files(const char *dir, const char *suffix);
size_t count_segments(const char *dir); /* that wait */
void flip(const char *path, off_t at);  /* one bit of that byte */

/* attest: what both kinds of attestation share. */
#pragma once

#include "cli/cli.h"

#define ATTEST_TEXT_MAX 2000
#define ATTEST_DIGEST_MAX 65 /* BLAKE2b-256 in hex, and NUL */

struct attestation { /* as given on the command line; NULL: not given */
    const char *what, *by, *who, *link, *file, *note;
};

/* BLAKE2b-256 of the file's bytes. */
int attest_digest(const char *path, char out[ATTEST_DIGEST_MAX], struct err *e) MUST_CHECK;
/* {"what","by","at","t_ns","note"} and what was given of "link" and "blake2b256"; a new reference. */
int attest_body(const struct cli *c, const struct attestation *a, json_t **ret, struct err *e) MUST_CHECK;

/* `attest supersede CHANGE --by CHANGE`: a later test that passes stands for one that failed. */
int attest_supersede(struct cli *c, const struct attestation *a);

/* cli_fixture: runs the built program and keeps what it said. */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#define RUN_OUT_MAX 65536

struct run {
    int status; /* exit status; 128 + N for a signal */
    char out[RUN_OUT_MAX], err[RUN_OUT_MAX];
};

/* `pilotgate LINE` through the shell, in folder dir. */
void run_cli(struct run *r, const char *dir, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The document that it wrote as JSON, with this exit status; a new reference. Else the test fails. */
json_t *said(const struct run *r, int status);
/* Exit status 2, nothing on standard output, one line that begins with the program's name and holds `part`.
 */
void said_error(const struct run *r, const char *part);
/* Starts it and returns its pid; standard error goes to dir/NAME. */
pid_t start_cli(const char *dir, const char *name, char *const *argv);
/* Waits for a text to appear in dir/NAME, at most 10 s; true when it came. */
int wait_text(const char *dir, const char *name, const char *text, char *out, size_t max);
/* Ends it with a signal and returns its status as in struct run. */
int stop_cli(pid_t pid, int signal_number);

/* mkdtemp under /tmp, removed with everything in it by remove_dir. */
void make_dir(char out[64]);
void remove_dir(const char *dir);
/* Setup and teardown of a test: its state is such a folder. */
int dir_setup(void **state);
int dir_teardown(void **state);
void write_text(const char *dir, const char *name, const char *text);

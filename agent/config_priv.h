/* config_priv: what the files of the configuration share. */
#pragma once

#include "config.h"

/* config_probes.c. The names of targets and probes are checked before. */
int config_check_probes(const struct config *c, struct err *e) MUST_CHECK;
int config_check_replicas(const struct config *c, struct err *e) MUST_CHECK;

/* config_targets.c: kind, headers, credentials. Name and URL are checked before. */
int config_check_target(const struct config_target *t, struct err *e) MUST_CHECK;

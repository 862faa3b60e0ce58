/* alert: what a person must be told while a pilot runs, and telling it once.
 *
 *   verdicts, sessions, coverage ─ alert_look (pure) ─► alerts that begin or end ─► alert_post ─ webhook
 *
 * Conditions (names are the contract of the webhook and of the metric pilotgate_alert_active):
 *   verdict-changed   a gate of a stage says something else than at the last look; begins only
 *   agent-gone        an agent that the pilot expects (declared number, or what its DaemonSet wants) has no
 * session coverage-stale    a node's last coverage is older than the rubric's coverage_gap, or `stale` if
 * longer store-full        records are being refused because the disk is full conflict          two agents on
 * one node, a cloned spool, a record with other bytes
 *
 * An alert begins once when its condition holds and ends once when it no longer does; what was told is kept
 * in the store's operations, so that a restart repeats nothing and forgets nothing. A post that fails is
 * tried again with growing waits, in order, for at most ALERT_KEEP_S, then counted as dropped.
 *
 * The webhook gets POST, application/json, one object:
 * {"pilot","alert","state":"begin"|"end","stage","gate","node", "before","after","since","reason"}; absent
 * where they do not apply. Its URL may carry a secret: it is read from a file, and never logged. Only https,
 * or http to a loopback address or with --webhook-plain.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define ALERT_KEEP_S 86400
#define ALERT_ACTIVE_MAX 4096

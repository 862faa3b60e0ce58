/* Two objects, two stages, and a SET against a stage: what differs, and what only looks as if it did. What
 * lives on real clusters is in test_mutations. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "reference/checks.h"

#define TOLD_MAX 2048

/* JSON with ' for ". */
static json_t *json(const char *text) {
    char *copy = strdup(text);
    json_error_t e;
    for (char *p = copy; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    json_t *v = json_loads(copy, 0, &e);
    if (!v)
        fail_msg("%s: %s", copy, e.text);
    free(copy);
    return v;
}

/* "different /spec/replicas; extra /data/x (field)". */
static void tell(const struct ref_differences *d, char told[TOLD_MAX]) {
    size_t n = 0;
    *told = 0;
    for (size_t i = 0; i < d->n; i++)
        n += (size_t)snprintf(told + n, TOLD_MAX - n, "%s%s %s%s", i ? "; " : "",
                              ref_what_name(d->items[i].what), d->items[i].pointer,
                              d->items[i].field ? " (field)" : "");
}

static void compare(const char *kind, const char *a, const char *b, bool exact, char told[TOLD_MAX]) {
    json_t *x = json(a);
    json_t *y = json(b);
    struct ref_object oa = {.kind = kind, .name = "x", .normal = x, .release = ""};
    struct ref_object ob = {.kind = kind, .name = "x", .normal = y, .release = ""};
    struct ref_matches m = {.one_place = true};
    struct ref_differences d = {0};
    assert_int_equal(0, ref_compare_objects(&m, &oa, &ob, exact, &d));
    tell(&d, told);
    ref_differences_free(&d);
    json_decref(x);
    json_decref(y);
}

static void expect(const char *kind, const char *a, const char *b, const char *expected) {
    char told[TOLD_MAX];
    compare(kind, a, b, false, told);
    assert_string_equal(expected, told);
}

/* Inside of a Deployment's only container. */
static void expect_container(const char *a, const char *b, const char *expected) {
    static const char form[] = "{'spec':{'template':{'spec':{'containers':[{'name':'c',%s}]}}}}";
    static const char place[] = "/spec/template/spec/containers/0";
    char x[1024];
    char y[1024];
    char told[TOLD_MAX];
    char plain[TOLD_MAX];
    size_t n = 0;
    (void)snprintf(x, sizeof x, form, a);
    (void)snprintf(y, sizeof y, form, b);
    compare("Deployment", x, y, false, told);
    for (const char *p = told; *p;) {
        p += strncmp(p, place, sizeof place - 1) == 0 ? sizeof place - 1 : 0;
        plain[n++] = *p++;
    }
    plain[n] = 0;
    assert_string_equal(expected, plain);
}

/* ---- one object */

static void lists_by_their_keys(void **state) {
    (void)state;
    expect_container("'env':[{'name':'A','value':'1'},{'name':'B','value':'2'}]",
                     "'env':[{'name':'B','value':'2'},{'name':'A','value':'3'}]", "different /env/1/value");
    expect_container("'ports':[{'containerPort':80}]",
                     "'ports':[{'containerPort':81,'protocol':'TCP'},{'containerPort':80,'protocol':'TCP'}]",
                     "extra /ports/0");
    expect_container("'ports':[{'name':'web','containerPort':80}]",
                     "'ports':[{'name':'web','containerPort':8080,'protocol':'TCP'}]",
                     "different /ports/0/containerPort");
    expect_container("'ports':[{'containerPort':53,'protocol':'TCP'},{'containerPort':53,'protocol':'UDP'}]",
                     "'ports':[{'containerPort':53,'protocol':'UDP'},{'containerPort':53,'protocol':'TCP'}]",
                     "");
    expect_container("'volumeMounts':[{'name':'v','mountPath':'/a'}]",
                     "'volumeMounts':[{'name':'v','mountPath':'/b'}]", "different /volumeMounts/0/mountPath");
    expect("Pod", "{'spec':{'tolerations':[{'key':'a','operator':'Exists'}]}}",
           "{'spec':{'tolerations':[{'key':'b','operator':'Exists'}]}}", "different /spec/tolerations/0/key");
}

static void order_where_it_counts(void **state) {
    (void)state;
    expect_container("'args':['-a','1','-b','2']", "'args':['-b','2','-a','1']",
                     "different /args/0; different /args/1; different /args/2; different /args/3");
    expect_container("'args':['-a','-b']", "'args':['-a','-x','-b']", "extra /args/1");
    expect_container(
        "'livenessProbe':{'httpGet':{'httpHeaders':[{'name':'X','value':'1'},{'name':'Y','value':'2'}]}}",
        "'livenessProbe':{'httpGet':{'httpHeaders':[{'name':'Y','value':'2'},{'name':'X','value':'1'}]}}",
        "different /livenessProbe/httpGet/httpHeaders/0/name; "
        "different /livenessProbe/httpGet/httpHeaders/0/value; "
        "different /livenessProbe/httpGet/httpHeaders/1/name; "
        "different /livenessProbe/httpGet/httpHeaders/1/value");
    expect_container("'env':[{'name':'A','value':'1'},{'name':'B','value':'$(A)/x'}]",
                     "'env':[{'name':'B','value':'$(A)/x'},{'name':'A','value':'1'}]", "different /env/0");
    expect_container("'env':[{'name':'A','value':'1'},{'name':'A','value':'2'}]",
                     "'env':[{'name':'A','value':'2'},{'name':'A','value':'1'}]",
                     "different /env/0/value; different /env/1/value");
    expect("Pod", "{'spec':{'initContainers':[{'name':'a'},{'name':'b'}]}}",
           "{'spec':{'initContainers':[{'name':'b'},{'name':'a'}]}}", "different /spec/initContainers");
    expect("Role", "{'rules':[{'verbs':['get','list'],'resources':['pods'],'apiGroups':['']}]}",
           "{'rules':[{'verbs':['list','get'],'resources':['pods'],'apiGroups':['']}]}", "");
    expect("Role", "{'rules':[{'verbs':['get']}]}", "{'rules':[{'verbs':['get','delete']}]}",
           "extra /rules/0/verbs/1");
    expect("NetworkPolicy",
           "{'spec':{'ingress':[{'from':[{'podSelector':{}},{'ipBlock':{'cidr':'::/0'}}]}]}}",
           "{'spec':{'ingress':[{'from':[{'ipBlock':{'cidr':'::/0'}},{'podSelector':{}}]}]}}", "");
    expect("NetworkPolicy", "{'spec':{'ingress':[{'from':[{'ipBlock':{'cidr':'10.0.0.0/8'}}]}]}}",
           "{'spec':{'ingress':[{'from':[{'ipBlock':{'cidr':'0.0.0.0/0'}}]}]}}",
           "different /spec/ingress/0/from/0/ipBlock/cidr");
}

static void what_is_there_besides(void **state) {
    (void)state;
    expect("ConfigMap", "{'data':{'a':'1'}}", "{'data':{'a':'1','b':'2'}}", "extra /data/b");
    expect("ConfigMap", "{}", "{'data':{'b':'2'}}", "extra /data/b");
    expect("Service", "{'spec':{'selector':{'app':'x'}}}", "{'spec':{'selector':{'app':'x','v':'2'}}}",
           "extra /spec/selector/v");
    expect("Deployment", "{'spec':{'template':{'spec':{}}}}",
           "{'spec':{'template':{'spec':{'nodeSelector':{'disk':'ssd'},'dnsPolicy':'ClusterFirst'}}}}",
           "extra /spec/template/spec/nodeSelector");
    expect("Deployment", "{'spec':{'template':{'spec':{}}}}",
           "{'spec':{'template':{'spec':{'hostNetwork':true}}}}",
           "extra /spec/template/spec/hostNetwork (field)");
    expect_container("'image':'a:1'", "'image':'a:1','securityContext':{'privileged':true}",
                     "extra /securityContext (field)");
    expect("Deployment", "{'spec':{'template':{'spec':{'containers':[{'name':'c'}]}}}}",
           "{'spec':{'template':{'spec':{'containers':[{'name':'c'},{'name':'sidecar'}]}}}}",
           "extra /spec/template/spec/containers/1");
}

static void what_says_nothing(void **state) {
    (void)state;
    expect_container("'resources':{},'args':[],'tty':false,'securityContext':null", "'image':''", "");
    expect("NetworkPolicy", "{'spec':{'podSelector':{},'ingress':[]}}", "{'spec':{'podSelector':{}}}", "");
    expect("NetworkPolicy", "{'spec':{'podSelector':{}}}", "{'spec':{}}", "missing /spec/podSelector");
    expect("PersistentVolumeClaim", "{'spec':{'storageClassName':''}}", "{'spec':{}}",
           "missing /spec/storageClassName");
}

static void versions_of_the_api(void **state) {
    (void)state;
    static const char v2[] =
        "{'spec':{'maxReplicas':3,'metrics':[{'type':'Resource','resource':{'name':'cpu',"
        "'target':{'type':'Utilization','averageUtilization':80}}}]}}";
    static const char ingress[] =
        "{'spec':{'rules':[{'host':'a','http':{'paths':[{'path':'/',"
        "'pathType':'Prefix','backend':{'service':{'name':'s','port':{'number':80}}}}]}}]}}";
    expect("HorizontalPodAutoscaler", "{'spec':{'maxReplicas':3,'targetCPUUtilizationPercentage':80}}", v2,
           "");
    expect("HorizontalPodAutoscaler", "{'spec':{'maxReplicas':3,'targetCPUUtilizationPercentage':70}}", v2,
           "different /spec/metrics/0/resource/target/averageUtilization");
    expect("Ingress",
           "{'spec':{'rules':[{'host':'a','http':{'paths':[{'path':'/','pathType':'Prefix',"
           "'backend':{'serviceName':'s','servicePort':80}}]}}]}}",
           ingress, "");
    expect("Ingress", "{'metadata':{'annotations':{'kubernetes.io/ingress.class':'nginx'}},'spec':{}}",
           "{'spec':{'ingressClassName':'nginx'}}", "");
    expect("Ingress", "{'metadata':{'annotations':{'kubernetes.io/ingress.class':'nginx'}},'spec':{}}",
           "{'spec':{'ingressClassName':'traefik'}}", "different /spec/ingressClassName");
}

static void two_fields_of_one_meaning(void **state) {
    (void)state;
    static const char both[] =
        "{'spec':{'template':{'spec':{'serviceAccount':'admin','serviceAccountName':'admin'}}}}";
    expect("Deployment", "{'spec':{'template':{'spec':{'serviceAccount':'admin'}}}}", both, "");
    expect("Deployment", "{'spec':{'template':{'spec':{'serviceAccountName':'admin'}}}}", both, "");
    expect("Deployment", "{'spec':{'template':{'spec':{'serviceAccountName':'poor'}}}}", both,
           "different /spec/template/spec/serviceAccountName");
    expect("Deployment", "{'spec':{'template':{'spec':{}}}}", both,
           "extra /spec/template/spec/serviceAccountName (field)");
    expect("PersistentVolumeClaim", "{'spec':{}}",
           "{'spec':{'dataSource':{'kind':'x','name':'y'},'dataSourceRef':{'kind':'x','name':'y'}}}",
           "extra /spec/dataSourceRef (field)");
}

static void selectors_by_what_they_select(void **state) {
    (void)state;
    static const char labels[] = "{'spec':{'selector':{'matchLabels':{'a':'1'}}}}";
    expect("Deployment", labels,
           "{'spec':{'selector':{'matchExpressions':[{'key':'a','operator':'In','values':['1']}]}}}", "");
    expect("PodDisruptionBudget",
           "{'spec':{'selector':{'matchExpressions':[{'key':'a','operator':'In','values':['1','2']}]}}}",
           "{'spec':{'selector':{'matchExpressions':[{'key':'a','operator':'In','values':['2','3']}]}}}",
           "missing /spec/selector/matchExpressions/0/values/0; extra "
           "/spec/selector/matchExpressions/0/values/1");
}

static void secrets_are_not_shown(void **state) {
    (void)state;
    json_t *a =
        json("{'data':{'p':'keyed:0000000000000000000000000000000000000000000000000000000000000000'}}");
    json_t *b =
        json("{'data':{'p':'keyed:1111111111111111111111111111111111111111111111111111111111111111'}}");
    struct ref_object x = {.kind = "Secret", .name = "s", .normal = a};
    struct ref_object y = {.kind = "Secret", .name = "s", .normal = b};
    struct ref_matches m = {0};
    struct ref_differences d = {0};
    assert_int_equal(0, ref_compare_objects(&m, &x, &y, false, &d));
    assert_int_equal(1, d.n);
    assert_null(strstr(d.items[0].found, "1111"));
    assert_null(strstr(d.items[0].expected, "0000"));
    ref_differences_free(&d);
    json_decref(a);
    json_decref(b);
}

/* ---- sides */

struct stage {
    struct ref_side side;
    json_t *objects; /* owned */
};

/* [{"kind","name","release","normal"}] */
static void begin(struct stage *ret, const char *label, const char *text) {
    size_t i;
    json_t *o;
    *ret = (struct stage){.objects = json(text)};
    ret->side.label = label;
    ret->side.live = true;
    json_array_foreach(ret->objects, i, o) {
        struct ref_object object = {.kind = js_str(o, "kind", ""),
                                    .name = js_str(o, "name", ""),
                                    .normal = json_object_get(o, "normal"),
                                    .unknown = js_str(o, "unknown", NULL),
                                    .release = js_str(o, "release", ""),
                                    .tag = i};
        assert_int_equal(0, ref_side_add(&ret->side, &object));
    }
    assert_int_equal(0, ref_side_finish(&ret->side));
}

static void stage_end(struct stage *s) {
    ref_side_free(&s->side);
    json_decref(s->objects);
}

#define INSTANCE(release) "'metadata':{'labels':{'app.kubernetes.io/instance':'" release "'}}"

static const char *partner(const struct ref_matches *m, const char *name) {
    for (size_t i = 0; i < m->n; i++)
        if (m->items[i].a && strcmp(m->items[i].a->name, name) == 0)
            return m->items[i].b ? m->items[i].b->name : "";
    return NULL;
}

static void matching(void **state) {
    (void)state;
    struct stage a;
    begin(&a, "a",
          "[{'kind':'Service','name':'red-api','normal':{" INSTANCE(
              "red") "}},"
                     "{'kind':'ConfigMap','name':'red-conf-6h2bd5ktg7','normal':{'data':{'k':'1'}}},"
                     "{'kind':'Job','name':'once','normal':{'metadata':{'labels':{'job':'migrate'}}}},"
                     "{'kind':'Secret','name':'red-gone','normal':{}}]");
    struct stage b;
    begin(&b, "b",
          "[{'kind':'Service','name':'blue-api','normal':{" INSTANCE(
              "blue") "}},"
                      "{'kind':'ConfigMap','name':'blue-conf-2222222222','normal':{'data':{'k':'0'}}},"
                      "{'kind':'ConfigMap','name':'blue-conf-9999999999','normal':{'data':{'k':'1'}}},"
                      "{'kind':'Job','name':'again','normal':{'metadata':{'labels':{'job':'migrate'}}}}]");
    struct ref_matches m;
    assert_int_equal(0, ref_match_sides(&a.side, &b.side, &m));
    assert_string_equal("blue-api", partner(&m, "red-api"));
    assert_string_equal("blue-conf-9999999999", partner(&m, "red-conf-6h2bd5ktg7"));
    assert_string_equal("again", partner(&m, "once"));
    assert_string_equal("", partner(&m, "red-gone"));
    assert_true(ref_names_same(&m.names, "red-conf-6h2bd5ktg7", "blue-conf-9999999999"));
    ref_matches_free(&m);
    stage_end(&a);
    stage_end(&b);
}

/* helm template names no namespace: it shows in the names of the chart's own objects. */
static void namespace_of_manifests(void **state) {
    (void)state;
    struct stage a;
    begin(&a, "set",
          "[{'kind':'Service','name':'red-api','normal':{}},"
          "{'kind':'ConfigMap','name':'c','normal':{'data':{'a':'http://red-api.blue.svc:80/',"
          "'b':'db.other.svc, red-api.blue.svc.cluster.local','c':'red-api.wrong.svcs'}}}]");
    assert_string_equal("", a.side.namespace_name);
    a.side.live = false;
    a.side.namespace_name = NULL;
    assert_int_equal(0, ref_side_finish(&a.side));
    assert_string_equal("blue", a.side.namespace_name);
    stage_end(&a);
    begin(&a, "set",
          "[{'kind':'ServiceAccount','name':'s','normal':{}},"
          "{'kind':'RoleBinding','name':'r','normal':{'subjects':["
          "{'kind':'ServiceAccount','name':'other','namespace':'monitoring'},"
          "{'kind':'ServiceAccount','name':'s','namespace':'blue'}]}}]");
    a.side.live = false;
    a.side.namespace_name = NULL;
    assert_int_equal(0, ref_side_finish(&a.side));
    assert_string_equal("blue", a.side.namespace_name);
    stage_end(&a);
}

/* A suffix is none of an object that is asked for by its plain name: then it is not there. */
static void asked_for_by_name(void **state) {
    (void)state;
    static const char manifests[] = "[{'kind':'Secret','name':'db','normal':{}}]";
    static const char pod[] =
        "{'kind':'Deployment','name':'d','normal':{'env':[{'secretKeyRef':{'name':'%s'}}]}}";
    static const char *const asked[] = {"db", "db-bcdfgh2456"}; /* or as it is called */
    for (size_t i = 0; i < 2; i++) {
        char text[512];
        char whole[1024];
        (void)snprintf(text, sizeof text, pod, asked[i]);
        (void)snprintf(whole, sizeof whole, "[%s,{'kind':'Secret','name':'db-bcdfgh2456','normal':{}}]",
                       text);
        struct stage a;
        struct stage b;
        struct ref_matches m;
        begin(&a, "a", manifests);
        begin(&b, "b", whole);
        assert_int_equal(0, ref_match_sides(&a.side, &b.side, &m));
        assert_string_equal(i ? "db-bcdfgh2456" : "", partner(&m, "db"));
        ref_matches_free(&m);
        stage_end(&a);
        stage_end(&b);
    }
}

static const char *no_secrets(void *ctx, const char *kind) {
    (void)ctx;
    return strcmp(kind, "Secret") == 0 ? "the agents may not read them" : NULL;
}

struct rows {
    char text[TOLD_MAX];
};

static int take_row(void *ctx, struct ref_set_row *row) {
    struct rows *r = ctx;
    char told[TOLD_MAX];
    size_t n = strlen(r->text);
    tell(&row->outcome.differences, told);
    (void)snprintf(r->text + n, sizeof r->text - n, "%s %s: %s%s\n", row->name, row->severity,
                   row->outcome.unknown ? "unknown: " : "", row->outcome.unknown ? row->outcome.why : told);
    ref_outcome_free(&row->outcome);
    return 0;
}

static void expect_rows(const char *set, struct stage *a, struct stage *b, const char *expected) {
    struct rows rows = {""};
    struct reference r = {.doc = json(set), .sets = &a->side, .n_sets = 1};
    struct ref_scope scope = {.r = &r, .live = &b->side};
    assert_int_equal(0, ref_manifests(&scope, 0, take_row, &rows));
    assert_string_equal(expected, rows.text);
    json_decref(r.doc);
}

static void rows_of_a_set(void **state) {
    (void)state;
    struct stage a;
    begin(&a, "set",
          "[{'kind':'Service','name':'red-api','normal':{" INSTANCE(
              "red") ",'spec':{'type':'ClusterIP'}}},"
                     "{'kind':'Secret','name':'red-s','normal':{}},"
                     "{'kind':'ConfigMap','name':'red-gone','normal':{}},"
                     "{'kind':'Role','name':'red-cut','normal':{}},"
                     "{'kind':'Job','name':'red-hook','normal':{'metadata':{'"
                     "annotations':{'helm.sh/hook':'pre-install'}}}}]");
    struct stage b;
    begin(&b, "live",
          "[{'kind':'Service','name':'blue-api','release':'blue','normal':{" INSTANCE(
              "blue") ",'spec':{'type':'NodePort','externalName':'x'}}},"
                      "{'kind':'Role','name':'blue-cut','release':'blue','unknown':'too large'},"
                      "{'kind':'ConfigMap','name':'blue-more','release':'blue','normal':{}},"
                      "{'kind':'ConfigMap','name':'foreign','release':'other','normal':{}}]");
    b.side.unread = no_secrets;
    expect_rows("{'manifests':[{'id':'m'}]}", &a, &b,
                "ConfigMap/{release}-gone required: missing \n"
                "Role/{release}-cut required: unknown: Role/blue-cut: too large\n"
                "Secret/{release}-s required: unknown: Secret: the agents may not read them\n"
                "Service/{release}-api required: different /spec/type\n"
                "extra objects recommended: extra \n"
                "extra fields recommended: extra /spec/externalName (field)\n");
    expect_rows("{'manifests':[{'id':'m','severity':'info','optional':['ConfigMap/*'],"
                "'extra':{'objects':'ignore','fields':'required'}}]}",
                &a, &b,
                "Role/{release}-cut info: unknown: Role/blue-cut: too large\n"
                "Secret/{release}-s info: unknown: Secret: the agents may not read them\n"
                "Service/{release}-api info: different /spec/type\n"
                "extra fields required: extra /spec/externalName (field)\n");
    expect_rows("{'manifests':[{'id':'m','optional':['ConfigMap/*','Secret/*'],"
                "'extra':{'objects':'required','fields':'ignore'}}]}",
                &a, &b,
                "Role/{release}-cut required: unknown: Role/blue-cut: too large\n"
                "Secret/{release}-s required: unknown: Secret: the agents may not read them\n"
                "Service/{release}-api required: different /spec/type\n"
                "extra objects required: unknown: Secret: the agents may not read them\n");
    stage_end(&a);
    stage_end(&b);
}

/* Rendered for the namespace "default", and installed into one that is called like the service account. */
static void default_is_no_namespace_everywhere(void **state) {
    (void)state;
#define POD(account, url)                                                                             \
    "[{'kind':'StatefulSet','name':'db','normal':{'spec':{'template':{'spec':{'serviceAccountName':"  \
    "'" account "','containers':[{'name':'c','env':[{'name':'URL','value':'" url                      \
    "'}]}]}},'volumeClaimTemplates':[{'metadata':{'name':'d'},'spec':{'storageClassName':'" account   \
    "'}}]}}},{'kind':'RoleBinding','name':'r','normal':{'subjects':[{'kind':'ServiceAccount','name':" \
    "'" account "'}]}}]"
    static const char *const differ =
        "RoleBinding/r required: different /subjects/0/name\n"
        "StatefulSet/db required: different /spec/template/spec/serviceAccountName; "
        "different /spec/volumeClaimTemplates/0/spec/storageClassName\n";
    static const char *const same = "RoleBinding/r required: \nStatefulSet/db required: \n";
    const char *set = "{'manifests':[{'id':'m','extra':{'objects':'ignore','fields':'ignore'}}]}";
    static const struct {
        const char *a, *b;
        const char *const *expected;
    } cases[] = {{POD("default", "db.default.svc"), POD("shop", "db.shop.svc"), &differ},
                 {POD("shop", "db.shop.svc"), POD("default", "db.default.svc"), &differ},
                 {POD("default", "db.default.svc"), POD("default", "db.shop.svc"), &same},
                 {POD("default-x", "default"), POD("shop-x", "shop"), &same}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stage a, b;
        begin(&a, "set", cases[i].a);
        begin(&b, "live", cases[i].b);
        a.side.namespace_name = i == 1 ? "shop" : "default";
        b.side.namespace_name = i == 1 ? "default" : "shop";
        expect_rows(set, &a, &b, *cases[i].expected);
        stage_end(&a);
        stage_end(&b);
    }
#undef POD
}

/* ---- two stages */

#define DEPLOYMENT(release, replicas)                                                                  \
    "{'kind':'Deployment','name':'" release "-api','release':'" release                                \
    "','normal':{" INSTANCE(release) ",'spec':{'replicas':" replicas                                   \
                                     ",'template':{'spec':{'containers':[{'name':'api','image':'x:1'," \
                                     "'env':[{'name':'URL','value':'http://" release "-db'}]}]}}}}}"

static json_t *between(const struct reference *r, struct stage *a, struct stage *b) {
    json_t *doc;
    struct err e;
    assert_int_equal(0, ref_between(r, &a->side, &b->side, 0, &doc, &e));
    return doc;
}

static void two_stages(void **state) {
    (void)state;
    struct stage a;
    begin(&a, "east/red",
          "[" DEPLOYMENT("red",
                         "2") ",{'kind':'ConfigMap','name':'kube-root-ca.crt','normal':{'data':{'c':'1'}}},"
                              "{'kind':'Service','name':'red-api','normal':{}}]");
    struct stage b;
    begin(&b, "west/blue",
          "[" DEPLOYMENT("blue",
                         "3") ",{'kind':'ConfigMap','name':'kube-root-ca.crt','normal':{'data':{'c':'2'}}},"
                              "{'kind':'ConfigMap','name':'blue-more','normal':{}}]");
    json_t *doc = between(NULL, &a, &b);
    const json_t *d = json_object_get(doc, "differences");
    assert_int_equal(3, json_array_size(d));
    assert_string_equal("/spec/replicas", js_str(json_array_get(d, 0), "pointer", ""));
    assert_string_equal("2", js_str(json_array_get(d, 0), "expected", ""));
    assert_string_equal("3", js_str(json_array_get(d, 0), "found", ""));
    assert_string_equal("missing", js_str(json_array_get(d, 1), "what", ""));
    assert_string_equal("Service/red-api", js_str(json_array_get(d, 1), "object", ""));
    assert_string_equal("extra", js_str(json_array_get(d, 2), "what", ""));
    assert_string_equal("ConfigMap/blue-more", js_str(json_array_get(d, 2), "object", ""));
    assert_string_equal("FAIL", js_str(doc, "verdict", ""));
    json_decref(doc);
    b.side.unread = no_secrets;
    struct reference r = {.doc = json("{'tolerate':[{'object':'*','reason':'so be it','owner':'me'}]}")};
    doc = between(&r, &a, &b);
    assert_string_equal("INCONCLUSIVE", js_str(doc, "verdict", ""));
    assert_string_equal("Secret",
                        js_str(json_array_get(json_object_get(doc, "not_compared"), 0), "what", ""));
    assert_string_equal(
        "me", js_str(json_array_get(json_object_get(doc, "differences"), 2), "tolerated.owner", ""));
    json_decref(doc);
    json_decref(r.doc);
    stage_end(&a);
    stage_end(&b);
}

/* What a distribution writes into its namespaces is its own; what an administrator asks of pods is not. */
static void namespaces(void **state) {
    (void)state;
    struct stage a;
    begin(&a, "east/red",
          "[{'kind':'Namespace','name':'red','normal':{'metadata':{'name':'red','labels':{"
          "'pod-security.kubernetes.io/enforce':'restricted'},'annotations':{"
          "'openshift.io/sa.scc.uid-range':'1000/10000'}}}}]");
    struct stage b;
    begin(&b, "west/blue",
          "[{'kind':'Namespace','name':'blue','normal':{'metadata':{'name':'blue','labels':{"
          "'pod-security.kubernetes.io/enforce':'baseline'},'annotations':{"
          "'openshift.io/sa.scc.uid-range':'2000/10000','field.cattle.io/projectId':'c:p'}}}}]");
    a.side.namespace_name = "red";
    b.side.namespace_name = "blue";
    json_t *doc = between(NULL, &a, &b);
    const json_t *d = json_object_get(doc, "differences");
    assert_int_equal(1, json_array_size(d));
    assert_string_equal("/metadata/labels/pod-security.kubernetes.io~1enforce",
                        js_str(json_array_get(d, 0), "pointer", ""));
    json_decref(doc);
    stage_end(&a);
    stage_end(&b);
}

static void the_same_stage(void **state) {
    (void)state;
    struct stage a;
    begin(&a, "east/red", "[" DEPLOYMENT("red", "2") "]");
    struct stage b;
    begin(&b, "west/blue", "[" DEPLOYMENT("blue", "2") "]");
    json_t *doc = between(NULL, &a, &b);
    assert_string_equal("PASS", js_str(doc, "verdict", ""));
    assert_int_equal(1, js_int(doc, "objects.paired", 0));
    json_decref(doc);
    stage_end(&a);
    stage_end(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_by_their_keys),
        cmocka_unit_test(order_where_it_counts),
        cmocka_unit_test(what_is_there_besides),
        cmocka_unit_test(what_says_nothing),
        cmocka_unit_test(versions_of_the_api),
        cmocka_unit_test(two_fields_of_one_meaning),
        cmocka_unit_test(selectors_by_what_they_select),
        cmocka_unit_test(secrets_are_not_shown),
        cmocka_unit_test(matching),
        cmocka_unit_test(namespace_of_manifests),
        cmocka_unit_test(asked_for_by_name),
        cmocka_unit_test(rows_of_a_set),
        cmocka_unit_test(default_is_no_namespace_everywhere),
        cmocka_unit_test(two_stages),
        cmocka_unit_test(namespaces),
        cmocka_unit_test(the_same_stage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

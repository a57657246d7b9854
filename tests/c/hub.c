/* Models of a hub: fetched, listed, loaded, removed. The hub at HF_ENDPOINT has pocketmlx/demo; each run has a cache of
 * its own. */
#include "check.h"

#define MODEL "pocketmlx/demo"

static char options[512];

/* Options with that cache, and more. */
static void set_options(const char *cache, const char *more) {
    int len = snprintf(options, sizeof options, "{\"cache\":\"%s\"%s}", cache, more);
    CHECK(len > 0 && (size_t)len < sizeof options);
}

struct seen {
    int calls;
    int32_t answer;
    uint64_t done, total;
};

static int32_t on_progress(void *user_data, const pmlx_progress *progress) {
    struct seen *seen = (struct seen *)user_data;
    CHECK(progress->struct_size == sizeof *progress);
    CHECK(progress->stage == PMLX_STAGE_DOWNLOAD);
    CHECK(progress->item != NULL && strlen(progress->item) == progress->item_len);
    CHECK(progress->total == 0 || progress->done <= progress->total);
    seen->calls++;
    seen->done = progress->done;
    seen->total = progress->total;
    return seen->answer;
}

static void refusals(void) {
    pmlx_string *out = NULL;
    FAILS(PMLX_INVALID_ARGUMENT, "colour", pmlx_hub_list(S("{\"colour\":1}"), &out));
    FAILS(PMLX_INVALID_ARGUMENT, "ftp://x", pmlx_hub_list(S("{\"endpoints\":[\"ftp://x\"]}"), &out));
    FAILS(PMLX_INVALID_ARGUMENT, "out is NULL", pmlx_hub_list(NULL, 0, NULL));
    FAILS(PMLX_INVALID_ARGUMENT, "source is NULL", pmlx_hub_remove(NULL, 0, NULL, 0, &out));
    FAILS(PMLX_INVALID_ARGUMENT, "../x", pmlx_hub_remove(S("../x"), S(options), &out));
    FAILS(PMLX_INVALID_ARGUMENT, "owner/name", pmlx_hub_download(S("demo"), S(options), NULL, NULL, &out));
    FAILS(PMLX_NOT_FOUND, "nobody/nothing", pmlx_hub_download(S("nobody/nothing"), S(options), NULL, NULL, &out));
    FAILS(PMLX_NOT_FOUND, MODEL, pmlx_hub_remove(S(MODEL), S(options), &out));
    CHECK(out == NULL);
}

/* 1 cancels, and what comes after goes on. */
static void cancelling(void) {
    pmlx_string *out = NULL;
    struct seen seen = {0, 1, 0, 0};
    FAILS(PMLX_CANCELLED, "", pmlx_hub_download(S(MODEL), S(options), on_progress, &seen, &out));
    CHECK(seen.calls == 1);
    seen.answer = 7;
    FAILS(PMLX_INVALID_ARGUMENT, "returned 7", pmlx_hub_download(S(MODEL), S(options), on_progress, &seen, &out));
    CHECK(seen.calls == 2 && out == NULL);
}

/* Found by words of its name and its tag, with the size that the hub tells. */
static void searching(void) {
    pmlx_string *out = NULL;
    OK(pmlx_hub_search(S("{\"query\":\"demo\",\"author\":\"pocketmlx\",\"limit\":5}"), S(options), &out));
    CHECK(strstr(pmlx_string_data(out), "\"supported\":true") != NULL);
    CHECK(strstr(pmlx_string_data(out), "\"downloads\":12") != NULL);
    CHECK(holds(out, "\"id\":\"" MODEL "\""));
    OK(pmlx_hub_search(S("{\"query\":\"nothing of this name\"}"), S(options), &out));
    CHECK(strcmp(pmlx_string_data(out), "[]") == 0);
    pmlx_string_free(out);
}

static void fetching(const char *cache) {
    pmlx_string *folder = NULL, *out = NULL;
    struct seen seen = {0, 0, 0, 0};
    OK(pmlx_hub_download(S(MODEL), S(options), on_progress, &seen, &folder));
    CHECK(seen.calls > 0 && seen.total > 1000000 && seen.done == seen.total);
    CHECK(strncmp(pmlx_string_data(folder), cache, strlen(cache)) == 0);
    pmlx_model_free(load_alone(pmlx_string_data(folder)));

    OK(pmlx_hub_list(S(options), &out));
    CHECK(strstr(pmlx_string_data(out), "\"complete\":true") != NULL);
    CHECK(holds(out, "\"id\":\"" MODEL "\""));

    /* What is there is not fetched again, and needs no hub. */
    set_options(cache, ",\"offline\":true");
    OK(pmlx_hub_download(S(MODEL), S(options), NULL, NULL, &out));
    CHECK(strcmp(pmlx_string_data(out), pmlx_string_data(folder)) == 0);
    pmlx_string_free(out);
    pmlx_string_free(folder);
    FAILS(PMLX_NOT_FOUND, "some/other", pmlx_hub_download(S("some/other"), S(options), NULL, NULL, &out));
}

/* What is told of a model, and which models suit. Without a hub, the cache and the catalogue know. */
static void telling(void) {
    pmlx_string *out = NULL;
    OK(pmlx_hub_info(S(MODEL), S("{\"context_length\":512}"), S(options), &out));
    CHECK(strstr(pmlx_string_data(out), "\"supported\":true") != NULL);
    CHECK(strstr(pmlx_string_data(out), "\"fits\":true") != NULL);
    CHECK(holds(out, "\"id\":\"" MODEL "\""));
    FAILS(PMLX_INVALID_ARGUMENT, "colour", pmlx_hub_info(S(MODEL), S("{\"colour\":1}"), S(options), &out));
    OK(pmlx_hub_recommend(S("{\"task\":\"code\",\"limit\":3}"), &out));
    CHECK(holds(out, "\"code\""));
    FAILS(PMLX_INVALID_ARGUMENT, "cooking", pmlx_hub_recommend(S("{\"task\":\"cooking\"}"), &out));
    FAILS(PMLX_INVALID_ARGUMENT, "limit is 0", pmlx_hub_search(S("{\"limit\":0}"), S(options), &out));
    FAILS(PMLX_NETWORK, "offline", pmlx_hub_search(NULL, 0, S(options), &out));
}

static void removing(void) {
    pmlx_string *out = NULL;
    OK(pmlx_hub_remove(S(MODEL), S(options), &out));
    CHECK(strstr(pmlx_string_data(out), "\"whole\":true") != NULL);
    CHECK(holds(out, "\"id\":\"" MODEL "\""));
    OK(pmlx_hub_list(S(options), &out));
    CHECK(strcmp(pmlx_string_data(out), "[]") == 0);
    pmlx_string_free(out);
}

int main(void) {
    char cache[] = "/tmp/pmlx-hub-XXXXXX";
    CHECK(getenv("HF_ENDPOINT") != NULL && mkdtemp(cache) != NULL);
    set_options(cache, "");
    refusals();
    cancelling();
    searching();
    fetching(cache);
    telling();
    removing();
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", cache);
    CHECK(system(command) == 0);
    return 0;
}

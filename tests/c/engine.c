/* Engines: options, information, suspension, memory. */
#include "check.h"

static void versions(void) {
    char version[64];
    snprintf(version, sizeof version, "%d.%d.%d", PMLX_VERSION_MAJOR, PMLX_VERSION_MINOR, PMLX_VERSION_PATCH);
    CHECK(strncmp(PMLX_VERSION, version, strlen(version)) == 0);
    CHECK(strcmp(pmlx_version(), PMLX_VERSION) == 0);
    CHECK(pmlx_abi_version() == PMLX_ABI_VERSION);
}

static void options(void) {
    pmlx_engine *engine = NULL;
    OK(pmlx_engine_new(NULL, 0, &engine));
    pmlx_engine_free(engine);
    OK(pmlx_engine_new("", 0, &engine));
    pmlx_engine_free(engine);
    OK(pmlx_engine_new(S("{}"), &engine));
    pmlx_engine_free(engine);
    /* The length counts, not a NUL. */
    OK(pmlx_engine_new("{}rubbish", 2, &engine));
    pmlx_engine_free(engine);

    engine = NULL;
    FAILS(PMLX_INVALID_ARGUMENT, "colour", pmlx_engine_new(S("{\"colour\":1}"), &engine));
    FAILS(PMLX_INVALID_ARGUMENT, "threads", pmlx_engine_new(S("{\"device\":\"cpu\",\"threads\":0}"), &engine));
    FAILS(PMLX_INVALID_ARGUMENT, "toaster", pmlx_engine_new(S("{\"device\":\"toaster\"}"), &engine));
    FAILS(PMLX_INVALID_ARGUMENT, "memory_limit_bytes", pmlx_engine_new(S("{\"memory_limit_bytes\":0}"), &engine));
    FAILS(PMLX_INVALID_ARGUMENT, "engine options", pmlx_engine_new(S("{\"threads\""), &engine));
    FAILS(PMLX_INVALID_ARGUMENT, "engine options", pmlx_engine_new(S("[]"), &engine));
    CHECK(engine == NULL);
}

static void information(pmlx_engine *engine, const char *folder) {
    pmlx_string *info = NULL;
    OK(pmlx_engine_info(engine, &info));
    CHECK(holds(info, "\"device\":\"cpu\""));
    OK(pmlx_engine_info(engine, &info));
    CHECK(holds(info, "\"models\":[]"));
    pmlx_model *model = load(engine, folder);
    OK(pmlx_engine_info(engine, &info));
    CHECK(holds(info, folder));
    pmlx_model_free(model);
    OK(pmlx_engine_info(engine, &info));
    CHECK(holds(info, "\"models\":[]"));
}

static void suspension(pmlx_engine *engine, const char *folder) {
    pmlx_model *model = load(engine, folder);
    pmlx_session *session = new_session(model);
    pmlx_session *other = new_session(model);
    pmlx_generation *generation = start(session, LONG_REQUEST);
    OK(pmlx_engine_suspend(engine, 60000));
    OK(pmlx_engine_suspend(engine, 60000));
    pmlx_generation *refused = NULL;
    FAILS(PMLX_SUSPENDED, "suspended", pmlx_session_start(other, S(LONG_REQUEST), NULL, 0, &refused));
    CHECK(refused == NULL);

    /* What was computed before can be read; then nothing comes. */
    const pmlx_event *event = NULL;
    int32_t state = -1;
    do {
        OK(pmlx_generation_poll(generation, 50, &event, &state));
    } while (state == PMLX_POLL_READY);
    CHECK(state == PMLX_POLL_PENDING && event == NULL);

    OK(pmlx_engine_resume(engine));
    OK(pmlx_engine_resume(engine));
    finish(generation, "\"length\"");
    pmlx_generation_free(generation);
    pmlx_session_free(other);
    pmlx_session_free(session);
    pmlx_model_free(model);
}

static void memory(pmlx_engine *engine, const char *folder) {
    uint64_t freed = 77;
    pmlx_model *model = load(engine, folder);
    pmlx_session *session = new_session(model);
    pmlx_generation *generation = start(session, LONG_REQUEST);
    finish(generation, "\"length\"");
    pmlx_generation_free(generation);
    OK(pmlx_engine_trim(engine, &freed));
    CHECK(freed > 0 && freed != 77);
    pmlx_session_free(session);
    pmlx_model_free(model);

    /* A budget that the weights don't fit into. */
    pmlx_engine *small = NULL;
    OK(pmlx_engine_new(S("{\"device\":\"cpu\",\"memory_limit_bytes\":1000}"), &small));
    model = NULL;
    FAILS(PMLX_OUT_OF_MEMORY, "1000", pmlx_model_load(small, S(folder), NULL, 0, NULL, NULL, &model));
    CHECK(model == NULL);
    pmlx_engine_free(small);
}

int main(int argc, char **argv) {
    const char *folder = model_folder(argc, argv);
    versions();
    options();
    pmlx_engine *engine = new_engine();
    information(engine, folder);
    suspension(engine, folder);
    memory(engine, folder);
    pmlx_engine_free(engine);
    pmlx_engine_free(NULL);
    return 0;
}

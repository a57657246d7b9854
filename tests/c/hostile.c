/* What a host does wrong: NULL everywhere, broken text and JSON, freeing in the wrong order, rubbish from callbacks. */
#include "check.h"

#define NULL_ARGUMENT(name, call) FAILS(PMLX_INVALID_ARGUMENT, name " is NULL", call)

static void nothing(const char *folder) {
    pmlx_engine *engine = new_engine();
    pmlx_model *model = load(engine, folder);
    pmlx_session *session = new_session(model);
    pmlx_generation *generation = start(session, LONG_REQUEST);
    pmlx_string *string = NULL;
    pmlx_tokens *tokens = NULL;
    const pmlx_event *event = NULL;
    uint64_t freed = 5;
    uint32_t id = 1;
    int32_t state = 9;
    pmlx_model *new_model = NULL;
    pmlx_session *new_session = NULL;
    pmlx_generation *new_generation = NULL;

    NULL_ARGUMENT("out", pmlx_engine_new(NULL, 0, NULL));
    NULL_ARGUMENT("options", pmlx_engine_new(NULL, 5, &engine));
    NULL_ARGUMENT("engine", pmlx_engine_info(NULL, &string));
    NULL_ARGUMENT("out", pmlx_engine_info(engine, NULL));
    NULL_ARGUMENT("engine", pmlx_engine_suspend(NULL, 0));
    NULL_ARGUMENT("engine", pmlx_engine_resume(NULL));
    NULL_ARGUMENT("engine", pmlx_engine_trim(NULL, &freed));
    NULL_ARGUMENT("freed_bytes", pmlx_engine_trim(engine, NULL));

    NULL_ARGUMENT("source", pmlx_model_probe(NULL, 0, NULL, 0, &string));
    NULL_ARGUMENT("out", pmlx_model_probe(S(folder), NULL, 0, NULL));
    NULL_ARGUMENT("options", pmlx_model_probe(S(folder), NULL, 1, &string));
    NULL_ARGUMENT("engine", pmlx_model_load(NULL, S(folder), NULL, 0, NULL, NULL, &new_model));
    NULL_ARGUMENT("source", pmlx_model_load(engine, NULL, 3, NULL, 0, NULL, NULL, &new_model));
    NULL_ARGUMENT("out", pmlx_model_load(engine, S(folder), NULL, 0, NULL, NULL, NULL));
    NULL_ARGUMENT("model", pmlx_model_info(NULL, &string));
    NULL_ARGUMENT("out", pmlx_model_info(model, NULL));
    NULL_ARGUMENT("model", pmlx_model_tokenize(NULL, S("x"), 0, &tokens));
    NULL_ARGUMENT("text", pmlx_model_tokenize(model, NULL, 0, 0, &tokens));
    NULL_ARGUMENT("out", pmlx_model_tokenize(model, S("x"), 0, NULL));
    NULL_ARGUMENT("model", pmlx_model_detokenize(NULL, &id, 1, &string));
    NULL_ARGUMENT("ids", pmlx_model_detokenize(model, NULL, 1, &string));
    NULL_ARGUMENT("out", pmlx_model_detokenize(model, &id, 1, NULL));
    NULL_ARGUMENT("model", pmlx_model_render(NULL, S("{}"), &string));
    NULL_ARGUMENT("request", pmlx_model_render(model, NULL, 0, &string));
    NULL_ARGUMENT("out", pmlx_model_render(model, S("{}"), NULL));
    NULL_ARGUMENT("model", pmlx_model_score(NULL, S("{}"), &string));
    NULL_ARGUMENT("request", pmlx_model_score(model, NULL, 0, &string));
    NULL_ARGUMENT("out", pmlx_model_score(model, S("{}"), NULL));

    NULL_ARGUMENT("model", pmlx_session_new(NULL, NULL, 0, &new_session));
    NULL_ARGUMENT("out", pmlx_session_new(model, NULL, 0, NULL));
    NULL_ARGUMENT("session", pmlx_session_start(NULL, S("{}"), NULL, 0, &new_generation));
    NULL_ARGUMENT("request", pmlx_session_start(session, NULL, 0, NULL, 0, &new_generation));
    NULL_ARGUMENT("out", pmlx_session_start(session, S("{}"), NULL, 0, NULL));
    NULL_ARGUMENT("blobs", pmlx_session_start(session, S("{}"), NULL, 1, &new_generation));
    NULL_ARGUMENT("session", pmlx_session_generate(NULL, S("{}"), NULL, 0, NULL, NULL));
    NULL_ARGUMENT("callback", pmlx_session_generate(session, S("{}"), NULL, 0, NULL, NULL));
    NULL_ARGUMENT("session", pmlx_session_history(NULL, &string));
    NULL_ARGUMENT("out", pmlx_session_history(session, NULL));
    NULL_ARGUMENT("session", pmlx_session_fork(NULL, &new_session));
    NULL_ARGUMENT("out", pmlx_session_fork(session, NULL));
    NULL_ARGUMENT("session", pmlx_session_rewind(NULL, 0));
    pmlx_session_cancel(NULL);

    NULL_ARGUMENT("generation", pmlx_generation_next(NULL, &event));
    NULL_ARGUMENT("out", pmlx_generation_next(generation, NULL));
    NULL_ARGUMENT("generation", pmlx_generation_poll(NULL, 0, &event, &state));
    NULL_ARGUMENT("out", pmlx_generation_poll(generation, 0, NULL, &state));
    NULL_ARGUMENT("state", pmlx_generation_poll(generation, 0, &event, NULL));
    NULL_ARGUMENT("generation", pmlx_generation_on_ready(NULL, NULL, NULL, NULL));
    pmlx_generation_cancel(NULL);

    CHECK(string == NULL && tokens == NULL && event == NULL && freed == 5 && state == 9);
    CHECK(new_model == NULL && new_session == NULL && new_generation == NULL);

    /* A blob is more than this version can do. */
    uint8_t byte = 0;
    pmlx_blob blob = {&byte, 1};
    FAILS(PMLX_UNSUPPORTED, "1 blob", pmlx_session_start(session, S("{}"), &blob, 1, &new_generation));
    FAILS(PMLX_INVALID_ARGUMENT, "length", pmlx_session_start(session, S("{}"), &blob, SIZE_MAX, &new_generation));

    pmlx_generation_free(generation);
    pmlx_session_free(session);
    pmlx_model_free(model);
    pmlx_engine_free(engine);
}

static void broken_input(pmlx_model *model) {
    static const char *const requests[] = {
        "", "{", "null", "[]", "\"x\"", "{}", "{\"prompt\":1}", "{\"prompt\":\"a\",\"prompt_ids\":[1]}",
        "{\"prompt\":\"a\",\"prompt\":\"b\"}", "{\"prompt\":\"a\",\"speed\":1}", "{\"prompt\":\"a\"} x",
        "{\"prompt\":\"\\ud800\"}", "{\"prompt_ids\":[-1]}", "{\"prompt_ids\":[1e99]}", "{\"prompt_ids\":[320]}",
        "{\"messages\":[]}", "{\"messages\":[{}]}", "{\"messages\":[{\"role\":\"user\",\"contents\":\"\"}]}",
        "{\"prompt\":\"a\",\"max_tokens\":0}", "{\"prompt\":\"a\",\"temperature\":-0.5}", "{\"prompt\":\"a\",\"top_p\":0}",
        "{\"prompt\":\"a\",\"seed\":-1}", "{\"prompt\":\"a\",\"logit_bias\":{\"9999\":1}}",
        "{\"prompt\":\"a\",\"stop\":\"\"}", "{\"prompt\":\"a\",\"top_logprobs\":99}",
    };
    pmlx_session *session = new_session(model);
    pmlx_generation *generation = NULL;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        FAILS(PMLX_INVALID_ARGUMENT, "", pmlx_session_start(session, S(requests[i]), NULL, 0, &generation));
    }
    FAILS(PMLX_INVALID_ARGUMENT, "offset 11", pmlx_session_start(session, S("{\"prompt\":\"\xc3\x28\"}"), NULL, 0, &generation));
    FAILS(PMLX_INVALID_ARGUMENT, "speed", pmlx_session_start(session, S("{\"speed\":1}"), NULL, 0, &generation));
    FAILS(PMLX_INVALID_ARGUMENT, "length", pmlx_session_start(session, "{}", SIZE_MAX, NULL, 0, &generation));
    FAILS(PMLX_UNSUPPORTED, "json_schema",
          pmlx_session_start(session, S("{\"prompt\":\"a\",\"response_format\":{\"type\":\"json_schema\"}}"), NULL, 0,
                             &generation));
    /* As deep as it gets without being JSON for a whole stack. */
    enum { DEEP = 200000 };
    char *deep = (char *)malloc(DEEP);
    CHECK(deep != NULL);
    memset(deep, '[', DEEP);
    FAILS(PMLX_INVALID_ARGUMENT, "", pmlx_session_start(session, deep, DEEP, NULL, 0, &generation));
    free(deep);
    CHECK(generation == NULL);
    /* None of this left the session busy. */
    generation = start(session, "{\"prompt\":\"a\",\"max_tokens\":2,\"ignore_eos\":true}");
    finish(generation, "\"length\"");
    pmlx_generation_free(generation);
    pmlx_session_free(session);
}

/* Every parent freed before its child is used. */
static void orphans(const char *folder) {
    pmlx_engine *engine = new_engine();
    pmlx_model *model = load(engine, folder);
    pmlx_engine_free(engine);
    pmlx_string *string = NULL;
    OK(pmlx_model_info(model, &string));
    pmlx_session *session = new_session(model);
    pmlx_model_free(model);
    CHECK(holds(string, "\"vocab\""));
    pmlx_generation *generation = start(session, LONG_REQUEST);
    pmlx_session *fork = NULL;
    FAILS(PMLX_BUSY, "", pmlx_session_fork(session, &fork));
    pmlx_session_free(session);
    CHECK(finish(generation, "\"length\"") == 300);
    pmlx_generation_free(generation);

    /* All gone while it runs, and nobody reads. */
    model = load_alone(folder);
    session = new_session(model);
    generation = start(session, LONG_REQUEST);
    pmlx_session_free(session);
    pmlx_model_free(model);
    pmlx_generation_free(generation);
}

struct trouble {
    pmlx_model *model;
    pmlx_session *session;
    int events;
};

/* Calls back into everything that it is in the middle of. */
static int32_t meddle(void *user_data, const pmlx_event *event) {
    struct trouble *trouble = (struct trouble *)user_data;
    pmlx_generation *generation = NULL;
    pmlx_string *string = NULL;
    if (event->kind == PMLX_EVENT_DONE) {
        return 0;
    }
    FAILS(PMLX_BUSY, "", pmlx_session_start(trouble->session, S(LONG_REQUEST), NULL, 0, &generation));
    FAILS(PMLX_BUSY, "", pmlx_session_generate(trouble->session, S(LONG_REQUEST), NULL, 0, meddle, user_data));
    OK(pmlx_session_history(trouble->session, &string));
    pmlx_string_free(string);
    OK(pmlx_model_score(trouble->model, S("{\"prompt\":\"Hello world\"}"), &string));
    pmlx_string_free(string);
    pmlx_session *other = new_session(trouble->model);
    generation = start(other, "{\"prompt\":\"x\",\"max_tokens\":2,\"ignore_eos\":true}");
    finish(generation, "\"length\"");
    pmlx_generation_free(generation);
    pmlx_session_free(other);
    return ++trouble->events == 3 ? INT32_MIN : 0;
}

int main(int argc, char **argv) {
    const char *folder = model_folder(argc, argv);
    nothing(folder);
    orphans(folder);
    pmlx_model *model = load_alone(folder);
    broken_input(model);
    struct trouble trouble = {model, new_session(model), 0};
    FAILS(PMLX_INVALID_ARGUMENT, "-2147483648",
          pmlx_session_generate(trouble.session, S(LONG_REQUEST), NULL, 0, meddle, &trouble));
    CHECK(trouble.events == 3);
    pmlx_session_free(trouble.session);
    pmlx_model_free(model);
    return 0;
}

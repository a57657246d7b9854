/* Generations: pulling, polling, being woken, cancelling. */
#include "check.h"

static void pulling(pmlx_model *model) {
    pmlx_session *session = new_session(model);
    pmlx_generation *generation = start(session, LONG_REQUEST);
    CHECK(finish(generation, "\"length\"") == 300);
    /* After the end: nothing, as often as one asks. */
    const pmlx_event *event = NULL;
    for (int i = 0; i < 3; i++) {
        event = (const pmlx_event *)&event;
        OK(pmlx_generation_next(generation, &event));
        CHECK(event == NULL);
    }
    int32_t state = -1;
    OK(pmlx_generation_poll(generation, 1000, &event, &state));
    CHECK(event == NULL && state == PMLX_POLL_FINISHED);
    pmlx_generation_free(generation);
    pmlx_session_free(session);
}

/* The whole text of a request. */
static char *text_of(pmlx_session *session, const char *request) {
    pmlx_generation *generation = start(session, request);
    char *text = (char *)calloc(1, 100000);
    CHECK(text != NULL);
    const pmlx_event *event = NULL;
    int32_t state = PMLX_POLL_PENDING;
    while (state != PMLX_POLL_FINISHED) {
        OK(pmlx_generation_poll(generation, 100, &event, &state));
        CHECK((state == PMLX_POLL_READY) == (event != NULL));
        if (event != NULL && event->kind == PMLX_EVENT_TEXT) {
            strncat(text, event->text, 1000);
        }
    }
    pmlx_generation_free(generation);
    return text;
}

static void polling(pmlx_model *model) {
    static const char request[] =
        "{\"prompt\":\"Hello\",\"max_tokens\":40,\"temperature\":1.5,\"seed\":11,\"ignore_eos\":true}";
    pmlx_session *session = new_session(model);
    char *first = text_of(session, request);
    char *second = text_of(session, request);
    CHECK(strlen(first) > 0 && strcmp(first, second) == 0);
    free(first);
    free(second);
    pmlx_session_free(session);
}

static void logprobs(pmlx_model *model) {
    pmlx_session *session = new_session(model);
    pmlx_generation *generation =
        start(session, "{\"prompt\":\"Hello\",\"max_tokens\":5,\"top_logprobs\":3,\"ignore_eos\":true}");
    const pmlx_event *event = NULL;
    int reports = 0;
    do {
        OK(pmlx_generation_next(generation, &event));
        if (event != NULL && event->kind == PMLX_EVENT_LOGPROBS) {
            CHECK(strncmp(event->json, "[{\"token\":", 10) == 0 && strstr(event->json, "\"top\":[[") != NULL);
            CHECK(event->text_len == 0 && event->text[0] == '\0');
            reports++;
        }
    } while (event != NULL);
    CHECK(reports > 0);
    pmlx_generation_free(generation);
    pmlx_session_free(session);
}

struct waker {
    int woken;
    int destroyed;
};

static void wake(void *user_data) {
    add_one(&((struct waker *)user_data)->woken);
}

static void destroy(void *user_data) {
    struct waker *waker = (struct waker *)user_data;
    CHECK(count_of(&waker->woken) <= 1);
    add_one(&waker->destroyed);
}

static void waking(pmlx_model *model) {
    enum { N = 6 };
    struct waker wakers[N];
    memset(wakers, 0, sizeof wakers);
    pmlx_session *session = new_session(model);
    pmlx_generation *generation = start(session, LONG_REQUEST);
    OK(pmlx_generation_on_ready(generation, wake, &wakers[0], destroy));
    wait_for(&wakers[0].destroyed, 1);
    CHECK(wakers[0].woken == 1);
    /* An event waits: at once. */
    OK(pmlx_generation_on_ready(generation, wake, &wakers[1], destroy));
    CHECK(count_of(&wakers[1].woken) == 1 && count_of(&wakers[1].destroyed) == 1);
    /* No destroy, then no callback. */
    OK(pmlx_generation_on_ready(generation, wake, &wakers[2], NULL));
    CHECK(count_of(&wakers[2].woken) == 1);
    FAILS(PMLX_INVALID_ARGUMENT, "callback", pmlx_generation_on_ready(generation, NULL, &wakers[3], destroy));
    CHECK(wakers[3].woken == 0 && wakers[3].destroyed == 1);
    finish(generation, "\"length\"");
    OK(pmlx_generation_on_ready(generation, wake, &wakers[4], destroy));
    CHECK(count_of(&wakers[4].woken) == 1 && count_of(&wakers[4].destroyed) == 1);
    pmlx_generation_free(generation);

    /* Free with a waker that was not called yet, and with one that was replaced. */
    struct waker late[2];
    memset(late, 0, sizeof late);
    generation = start(session, LONG_REQUEST);
    OK(pmlx_generation_on_ready(generation, wake, &late[0], destroy));
    OK(pmlx_generation_on_ready(generation, wake, &late[1], destroy));
    pmlx_generation_free(generation);
    wait_for(&late[0].destroyed, 1);
    wait_for(&late[1].destroyed, 1);
    CHECK(count_of(&late[0].woken) == 1 && count_of(&late[1].woken) == 1);
    pmlx_session_free(session);
}

static void cancelling(pmlx_model *model) {
    pmlx_session *session = new_session(model);
    pmlx_generation *generation = start(session, LONG_REQUEST);
    pmlx_generation_cancel(generation);
    pmlx_generation_cancel(generation);
    CHECK(finish(generation, "\"cancelled\"") < 300);
    pmlx_generation_cancel(generation);
    pmlx_generation_free(generation);
    pmlx_generation_cancel(NULL);
    pmlx_generation_free(NULL);
    /* Freeing cancels: the session is free for the next. */
    for (int i = 0; i < 3; i++) {
        pmlx_generation_free(start(session, LONG_REQUEST));
    }
    pmlx_session_free(session);
}

/* The number behind a key. */
static unsigned long long number(const char *json, const char *key) {
    const char *at = strstr(json, key);
    CHECK(at != NULL);
    return strtoull(at + strlen(key), NULL, 10);
}

/* An answer that outgrows the memory budget: its text comes, then the error, and that again and again. */
static void failing(const char *folder) {
    pmlx_string *report = NULL;
    OK(pmlx_model_probe(S(folder), NULL, 0, &report));
    const char *json = pmlx_string_data(report);
    char options[128];
    snprintf(options, sizeof options, "{\"device\":\"cpu\",\"memory_limit_bytes\":%llu}",
             number(json, "\"weight_bytes\":") + number(json, "\"work_bytes\":") + 400000);
    pmlx_string_free(report);
    pmlx_engine *engine = NULL;
    pmlx_model *model = NULL;
    OK(pmlx_engine_new(S(options), &engine));
    OK(pmlx_model_load(engine, S(folder), S("{\"context_length\":8192}"), NULL, NULL, &model));
    pmlx_session *session = new_session(model);
    pmlx_generation *generation =
        start(session, "{\"prompt\":\"Hello world\",\"max_tokens\":8000,\"ignore_eos\":true}");
    const pmlx_event *event = NULL;
    pmlx_error *error = NULL;
    size_t tokens = 0;
    while ((error = pmlx_generation_next(generation, &event)) == NULL) {
        CHECK(event != NULL && event->kind != PMLX_EVENT_DONE);
        tokens += event->tokens_len;
    }
    CHECK(tokens > 50 && pmlx_error_code(error) == PMLX_OUT_OF_MEMORY);
    int32_t state = -1;
    event = NULL;
    FAILS(PMLX_OUT_OF_MEMORY, pmlx_error_message(error), pmlx_generation_next(generation, &event));
    FAILS(PMLX_OUT_OF_MEMORY, pmlx_error_message(error), pmlx_generation_poll(generation, 0, &event, &state));
    CHECK(event == NULL && state == -1);
    pmlx_error_free(error);
    pmlx_generation_free(generation);
    pmlx_session_free(session);
    pmlx_model_free(model);
    pmlx_engine_free(engine);
}

static void overflowing(pmlx_model *model) {
    pmlx_session *session = new_session(model);
    pmlx_generation *generation = NULL;
    FAILS(PMLX_CONTEXT_OVERFLOW, "context",
          pmlx_session_start(session, S("{\"prompt_ids\":[72,101,108,108,111,32,300,12,255,0,72,101,108,108,111,32,300]}"),
                             NULL, 0, &generation));
    CHECK(generation == NULL);
    pmlx_session_free(session);
}

int main(int argc, char **argv) {
    const char *folder = model_folder(argc, argv);
    pmlx_model *model = load_alone(folder);
    pulling(model);
    polling(model);
    logprobs(model);
    waking(model);
    cancelling(model);
    pmlx_model_free(model);
    failing(folder);

    pmlx_engine *engine = new_engine();
    OK(pmlx_model_load(engine, S(folder), S("{\"context_length\":16}"), NULL, NULL, &model));
    pmlx_engine_free(engine);
    overflowing(model);
    pmlx_model_free(model);
    return 0;
}

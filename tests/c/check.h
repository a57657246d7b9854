/* What the C programs share: assertions, and a model to try things on. Every program takes the model's folder. */
#ifndef CHECK_H
#define CHECK_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pocketmlx.h"

/* A text as pointer and length. */
#define S(text) (text), strlen(text)

#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition, ""))
/* The call succeeds. */
#define OK(call) check_ok(__FILE__, __LINE__, #call, (call))
/* The call fails with that code, and its message or hint has that word. */
#define FAILS(code, word, call) check_fails(__FILE__, __LINE__, #call, (code), (word), (call))

static inline void check_failed(const char *file, int line, const char *what, const char *why) {
    fprintf(stderr, "%s:%d: failed: %s%s%s\n", file, line, what, *why ? ": " : "", why);
    exit(1);
}

static inline void check_ok(const char *file, int line, const char *call, pmlx_error *error) {
    if (error != NULL) {
        check_failed(file, line, call, pmlx_error_message(error));
    }
}

static inline void check_fails(const char *file, int line, const char *call, int32_t code, const char *word,
                               pmlx_error *error) {
    if (error == NULL) {
        check_failed(file, line, call, "succeeded");
    }
    const char *message = pmlx_error_message(error);
    if (pmlx_error_code(error) != code) {
        fprintf(stderr, "code %d, not %d\n", (int)pmlx_error_code(error), (int)code);
        check_failed(file, line, call, message);
    }
    if (strlen(message) == 0) {
        check_failed(file, line, call, "no message");
    }
    if (strstr(message, word) == NULL && strstr(pmlx_error_hint(error), word) == NULL) {
        fprintf(stderr, "neither message nor hint has %s\n", word);
        check_failed(file, line, call, message);
    }
    pmlx_error_free(error);
}

/* Whether a string of the library has that word; frees it. */
static inline int holds(pmlx_string *string, const char *word) {
    const char *data = pmlx_string_data(string);
    CHECK(strlen(data) == pmlx_string_len(string));
    int found = strstr(data, word) != NULL;
    if (!found) {
        fprintf(stderr, "no %s in %s\n", word, data);
    }
    pmlx_string_free(string);
    return found;
}

/* The folder that the program was given. */
static inline const char *model_folder(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s MODEL_FOLDER\n", argv[0]);
        exit(2);
    }
    return argv[1];
}

static inline pmlx_engine *new_engine(void) {
    pmlx_engine *engine = NULL;
    OK(pmlx_engine_new(S("{\"device\":\"cpu\",\"threads\":2}"), &engine));
    CHECK(engine != NULL);
    return engine;
}

static inline pmlx_model *load(pmlx_engine *engine, const char *folder) {
    pmlx_model *model = NULL;
    OK(pmlx_model_load(engine, S(folder), NULL, 0, NULL, NULL, &model));
    CHECK(model != NULL);
    return model;
}

/* A model whose engine only it keeps alive. */
static inline pmlx_model *load_alone(const char *folder) {
    pmlx_engine *engine = new_engine();
    pmlx_model *model = load(engine, folder);
    pmlx_engine_free(engine);
    return model;
}

static inline pmlx_session *new_session(pmlx_model *model) {
    pmlx_session *session = NULL;
    OK(pmlx_session_new(model, NULL, 0, &session));
    CHECK(session != NULL);
    return session;
}

static inline pmlx_generation *start(pmlx_session *session, const char *request) {
    pmlx_generation *generation = NULL;
    OK(pmlx_session_start(session, S(request), NULL, 0, &generation));
    CHECK(generation != NULL);
    return generation;
}

/* More than fits into the queue of events: it runs until it is read or cancelled. */
#define LONG_REQUEST "{\"prompt\":\"Hello world\",\"max_tokens\":300,\"ignore_eos\":true}"

/* Reads a generation to its end, which must have that reason; gives the number of tokens. */
static inline size_t finish(pmlx_generation *generation, const char *reason) {
    const pmlx_event *event = NULL;
    size_t tokens = 0;
    int done = 0;
    for (;;) {
        OK(pmlx_generation_next(generation, &event));
        if (event == NULL) {
            break;
        }
        CHECK(!done);
        CHECK(event->struct_size == sizeof(pmlx_event));
        CHECK(event->text != NULL && event->text[event->text_len] == '\0');
        CHECK(event->json != NULL && strlen(event->json) == event->json_len);
        CHECK((event->tokens == NULL) == (event->tokens_len == 0));
        tokens += event->tokens_len;
        if (event->kind == PMLX_EVENT_DONE) {
            CHECK(strstr(event->json, "\"usage\":{") != NULL && strstr(event->json, "\"timings\":{") != NULL);
            if (strstr(event->json, reason) == NULL) {
                check_failed(__FILE__, __LINE__, reason, event->json);
            }
            done = 1;
        }
    }
    CHECK(done);
    return tokens;
}

/* Counts calls, from any thread. */
static inline void add_one(int *count) {
    __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);
}

static inline int count_of(int *count) {
    return __atomic_load_n(count, __ATOMIC_SEQ_CST);
}

static inline void sleep_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Waits until the count is `n`, but not for ever. */
static inline void wait_for(int *count, int n) {
    for (int i = 0; i < 6000 && count_of(count) != n; i++) {
        sleep_ms(10);
    }
    CHECK(count_of(count) == n);
}

#endif

/* A chat with a model, line by line: the answer appears while it is generated.
 *
 *     cc -Iinclude examples/chat.c -Ltarget/release -lpocketmlx -o chat && ./chat path/to/model
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pocketmlx.h"

/* Ends the program when a call failed. */
static void check(pmlx_error *error) {
    if (error != NULL) {
        fprintf(stderr, "error: %s\n%s\n", pmlx_error_message(error), pmlx_error_hint(error));
        pmlx_error_free(error);
        exit(1);
    }
}

/* {"messages":[{"role":"user","content":"..."}],"max_tokens":400}; to be freed. */
static char *make_request(const char *line) {
    static const char head[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"", tail[] = "\"}],\"max_tokens\":400}";
    char *request = (char *)malloc(sizeof head + sizeof tail + 6 * strlen(line)), *to;
    if (request == NULL) {
        abort();
    }
    for (to = request + sprintf(request, "%s", head); *line != '\0'; line++) {
        unsigned char c = (unsigned char)*line;
        to += sprintf(to, c < ' ' || c == '"' || c == '\\' ? "\\u%04x" : "%c", c);
    }
    strcpy(to, tail);
    return request;
}

static int32_t show_progress(void *user_data, const pmlx_progress *progress) {
    (void)user_data;
    if (progress->total > 0) {
        fprintf(stderr, "\rloading: %3.0f %%", 100.0 * (double)progress->done / (double)progress->total);
    }
    return 0; /* 1 would cancel */
}

/* Prints an answer as it comes. */
static void answer(pmlx_session *session, const char *line) {
    pmlx_generation *generation = NULL;
    char *request = make_request(line);
    check(pmlx_session_start(session, request, strlen(request), NULL, 0, &generation));
    free(request);
    for (;;) {
        const pmlx_event *event = NULL;
        check(pmlx_generation_next(generation, &event));
        if (event == NULL) {
            break;
        }
        if (event->kind == PMLX_EVENT_TEXT) {
            fwrite(event->text, 1, event->text_len, stdout);
            fflush(stdout);
        } else if (event->kind == PMLX_EVENT_DONE) {
            fprintf(stderr, "\n%s\n", event->json);
        }
    }
    pmlx_generation_free(generation);
}

int main(int argc, char **argv) {
    const char *source = argc > 1 ? argv[1] : "demo";
    pmlx_engine *engine = NULL;
    pmlx_model *model = NULL;
    pmlx_session *session = NULL;
    check(pmlx_engine_new(NULL, 0, &engine));
    check(pmlx_model_load(engine, source, strlen(source), NULL, 0, show_progress, NULL, &model));
    check(pmlx_session_new(model, NULL, 0, &session));

    char line[4096];
    while (fputs("\n> ", stderr), fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (*line != '\0') {
            answer(session, line);
        }
    }

    /* In any order: what is still needed stays alive. */
    pmlx_engine_free(engine);
    pmlx_model_free(model);
    pmlx_session_free(session);
    return 0;
}

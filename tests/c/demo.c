/* A chat of several turns with the demo model: what it says, and which tokens were not computed again. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>

/* What a turn gave. */
struct turn {
    char text[1024];
    size_t text_len;
    long prompt_tokens, cached_tokens;
};

static long number_after(const char *json, const char *key) {
    const char *found = strstr(json, key);
    CHECK(found != NULL);
    return found == NULL ? -1 : strtol(found + strlen(key), NULL, 10);
}

static int32_t on_event(void *user_data, const pmlx_event *event) {
    struct turn *turn = (struct turn *)user_data;
    if (event->kind == PMLX_EVENT_TEXT && turn->text_len + event->text_len < sizeof turn->text) {
        memcpy(turn->text + turn->text_len, event->text, event->text_len);
        turn->text_len += event->text_len;
        turn->text[turn->text_len] = '\0';
    }
    if (event->kind == PMLX_EVENT_DONE) {
        turn->prompt_tokens = number_after(event->json, "\"prompt_tokens\":");
        turn->cached_tokens = number_after(event->json, "\"cached_tokens\":");
    }
    return 0;
}

static struct turn say(pmlx_session *session, const char *text) {
    char request[512];
    struct turn turn = {{0}, 0, 0, 0};
    int len = snprintf(request, sizeof request,
                       "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],\"max_tokens\":200,\"temperature\":0}", text);
    CHECK(len > 0 && (size_t)len < sizeof request);
    OK(pmlx_session_generate(session, request, (size_t)len, NULL, 0, on_event, &turn));
    return turn;
}

int main(void) {
    pmlx_model *model = load_alone("assets/demo");
    pmlx_session *session = new_session(model);
    struct turn first = say(session, "Hi! My name is Lena.");
    struct turn second = say(session, "What is 17 plus 25?");
    struct turn third = say(session, "What is my name?");
    CHECK(strstr(first.text, "Lena") != NULL);
    CHECK(strstr(second.text, "42") != NULL);
    CHECK(strstr(third.text, "Lena") != NULL);
    /* Each turn computes no more than its own message: all before it is known. */
    CHECK(first.cached_tokens == 0);
    CHECK(second.cached_tokens >= first.prompt_tokens && second.cached_tokens < second.prompt_tokens);
    CHECK(third.cached_tokens >= second.prompt_tokens && third.cached_tokens < third.prompt_tokens);
    pmlx_session_free(session);
    pmlx_model_free(model);
    return 0;
}

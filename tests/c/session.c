/* Sessions: transcripts, generating with a callback, cancelling, forks. */
#include "check.h"

#define TURN "{\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}],\"max_tokens\":8,\"ignore_eos\":true}"

enum act { NOTHING, ANSWER, CANCEL, FREE };

/* What a callback saw, and what it does at its `at`-th event with text. */
struct script {
    pmlx_session *session;
    enum act act;
    int32_t answer;
    int at;

    int prompts, texts, dones, after_done, after_answer;
    size_t tokens;
    char reason[64];
};

static int32_t on_event(void *user_data, const pmlx_event *event) {
    struct script *script = (struct script *)user_data;
    CHECK(event->struct_size == sizeof(pmlx_event));
    script->after_done += script->dones;
    int acted = script->act == ANSWER && script->at > 0 && script->texts >= script->at;
    if (acted && event->kind != PMLX_EVENT_DONE) {
        script->after_answer++;
    }
    switch (event->kind) {
    case PMLX_EVENT_PROMPT:
        CHECK(script->texts == 0 && event->done <= event->total && event->total > 0);
        script->prompts++;
        break;
    case PMLX_EVENT_TEXT:
        script->texts++;
        script->tokens += event->tokens_len;
        if (script->texts == script->at) {
            if (script->act == ANSWER) {
                return script->answer;
            }
            if (script->act == CANCEL) {
                pmlx_session_cancel(script->session);
            }
            if (script->act == FREE) {
                pmlx_session_free(script->session);
            }
        }
        break;
    case PMLX_EVENT_DONE: {
        const char *reason = strstr(event->json, "\"finish_reason\":\"");
        CHECK(reason != NULL);
        snprintf(script->reason, sizeof script->reason, "%.*s", (int)strcspn(reason + 17, "\""), reason + 17);
        script->dones++;
        break;
    }
    default:
        break;
    }
    return 0;
}

static struct script generate(pmlx_session *session, const char *request, enum act act, int32_t answer) {
    struct script script;
    memset(&script, 0, sizeof script);
    script.session = session;
    script.act = act;
    script.answer = answer;
    script.at = act == NOTHING ? 0 : 2;
    OK(pmlx_session_generate(session, S(request), NULL, 0, on_event, &script));
    CHECK(script.dones == 1 && script.after_done == 0 && script.after_answer == 0);
    return script;
}

static void turns(pmlx_model *model) {
    pmlx_session *session = NULL;
    OK(pmlx_session_new(model, S("{\"instructions\":\"Be brief.\",\"defaults\":{\"seed\":7}}"), &session));
    struct script script = generate(session, TURN, NOTHING, 0);
    CHECK(script.prompts > 0 && script.texts > 0 && script.tokens == 8);
    CHECK(strcmp(script.reason, "length") == 0);
    generate(session, TURN, NOTHING, 0);

    pmlx_string *history = NULL;
    OK(pmlx_session_history(session, &history));
    CHECK(strncmp(pmlx_string_data(history), "[{\"role\":\"system\",\"content\":\"Be brief.\"}", 40) == 0);
    CHECK(holds(history, "\"role\":\"assistant\""));

    pmlx_session *fork = NULL;
    OK(pmlx_session_fork(session, &fork));
    pmlx_session_free(session);
    FAILS(PMLX_INVALID_ARGUMENT, "99", pmlx_session_rewind(fork, 99));
    OK(pmlx_session_rewind(fork, 1));
    OK(pmlx_session_history(fork, &history));
    CHECK(holds(history, "[{\"role\":\"system\",\"content\":\"Be brief.\"}]"));
    generate(fork, TURN, NOTHING, 0);
    pmlx_session_free(fork);
    pmlx_session_free(NULL);
}

static void cancelling(pmlx_model *model) {
    pmlx_session *session = new_session(model);
    struct script script = generate(session, LONG_REQUEST, ANSWER, 1);
    CHECK(strcmp(script.reason, "cancelled") == 0 && script.texts == 2);
    script = generate(session, LONG_REQUEST, CANCEL, 0);
    CHECK(strcmp(script.reason, "cancelled") == 0 && script.tokens < 300);

    /* Rubbish cancels; the session is free again at once. */
    memset(&script, 0, sizeof script);
    script.act = ANSWER;
    script.answer = 2;
    script.at = 1;
    FAILS(PMLX_INVALID_ARGUMENT, "returned 2",
          pmlx_session_generate(session, S(LONG_REQUEST), NULL, 0, on_event, &script));
    CHECK(script.texts == 1 && script.dones == 0);

    /* A cancelled answer stays, marked. */
    generate(session, "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"max_tokens\":200,\"ignore_eos\":true}",
             ANSWER, 1);
    pmlx_string *history = NULL;
    OK(pmlx_session_history(session, &history));
    CHECK(holds(history, "\"partial\":true"));

    /* Nothing runs: nothing happens. */
    pmlx_session_cancel(session);
    script = generate(session, TURN, NOTHING, 0);
    CHECK(strcmp(script.reason, "length") == 0);
    /* The callback may free the very session. */
    generate(session, TURN, FREE, 0);
}

static void one_at_a_time(pmlx_model *model) {
    pmlx_session *session = new_session(model);
    pmlx_generation *generation = start(session, LONG_REQUEST);
    pmlx_generation *second = NULL;
    FAILS(PMLX_BUSY, "already", pmlx_session_start(session, S(TURN), NULL, 0, &second));
    FAILS(PMLX_BUSY, "already", pmlx_session_rewind(session, 0));
    FAILS(PMLX_BUSY, "already", pmlx_session_generate(session, S(TURN), NULL, 0, on_event, NULL));
    pmlx_session *fork = NULL;
    FAILS(PMLX_BUSY, "already", pmlx_session_fork(session, &fork));
    CHECK(second == NULL && fork == NULL);
    pmlx_session_cancel(session);
    /* Waits for the one that is being cancelled. */
    second = start(session, TURN);
    finish(generation, "\"cancelled\"");
    finish(second, "\"length\"");
    pmlx_generation_free(second);
    pmlx_generation_free(generation);
    pmlx_session_free(session);
}

static void options(pmlx_model *model) {
    pmlx_session *session = NULL;
    FAILS(PMLX_INVALID_ARGUMENT, "instuctions", pmlx_session_new(model, S("{\"instuctions\":\"\"}"), &session));
    FAILS(PMLX_INVALID_ARGUMENT, "temperature",
          pmlx_session_new(model, S("{\"defaults\":{\"temperature\":-1}}"), &session));
    CHECK(session == NULL);
}

int main(int argc, char **argv) {
    pmlx_model *model = load_alone(model_folder(argc, argv));
    turns(model);
    cancelling(model);
    one_at_a_time(model);
    options(model);
    pmlx_model_free(model);
    return 0;
}

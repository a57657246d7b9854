/* The log: levels, replacement, and that its user data is destroyed exactly once. */
#include "check.h"

struct sink {
    int messages;
    int destroyed;
    int highest_level;
};

static void on_message(void *user_data, int32_t level, const char *message, size_t len) {
    struct sink *sink = (struct sink *)user_data;
    CHECK(count_of(&sink->destroyed) == 0);
    CHECK(level >= PMLX_LOG_ERROR && level <= PMLX_LOG_TRACE);
    CHECK(len > 0 && message[len] == '\0');
    if (level > count_of(&sink->highest_level)) {
        __atomic_store_n(&sink->highest_level, level, __ATOMIC_SEQ_CST);
    }
    add_one(&sink->messages);
}

static void destroy(void *user_data) {
    add_one(&((struct sink *)user_data)->destroyed);
}

/* Something worth a message. */
static void work(const char *folder) {
    pmlx_model *model = load_alone(folder);
    pmlx_session *session = new_session(model);
    pmlx_generation *generation = start(session, "{\"prompt\":\"Hello\",\"max_tokens\":3}");
    finish(generation, "\"finish_reason\"");
    pmlx_generation_free(generation);
    pmlx_session_free(session);
    pmlx_model_free(model);
}

int main(int argc, char **argv) {
    const char *folder = model_folder(argc, argv);
    struct sink sinks[5];
    memset(sinks, 0, sizeof sinks);

    /* Refused, but destroyed. */
    FAILS(PMLX_INVALID_ARGUMENT, "level is 6", pmlx_set_log(6, on_message, &sinks[0], destroy));
    FAILS(PMLX_INVALID_ARGUMENT, "level is -1", pmlx_set_log(-1, on_message, &sinks[0], NULL));
    CHECK(sinks[0].destroyed == 1);

    OK(pmlx_set_log(PMLX_LOG_TRACE, on_message, &sinks[1], destroy));
    work(folder);
    CHECK(count_of(&sinks[1].messages) > 0);
    CHECK(count_of(&sinks[1].highest_level) > PMLX_LOG_ERROR);
    CHECK(count_of(&sinks[1].destroyed) == 0);

    /* Replaced: nothing of this is an error, so nothing comes. */
    OK(pmlx_set_log(PMLX_LOG_ERROR, on_message, &sinks[2], destroy));
    wait_for(&sinks[1].destroyed, 1);
    work(folder);
    CHECK(count_of(&sinks[2].messages) == 0);

    /* Off, both ways. */
    OK(pmlx_set_log(PMLX_LOG_TRACE, NULL, &sinks[3], destroy));
    wait_for(&sinks[2].destroyed, 1);
    wait_for(&sinks[3].destroyed, 1);
    OK(pmlx_set_log(PMLX_LOG_OFF, on_message, &sinks[4], destroy));
    wait_for(&sinks[4].destroyed, 1);
    work(folder);
    CHECK(sinks[3].messages == 0 && sinks[4].messages == 0);

    OK(pmlx_set_log(PMLX_LOG_WARN, on_message, &sinks[3], NULL));
    OK(pmlx_set_log(PMLX_LOG_OFF, NULL, NULL, NULL));
    for (int i = 0; i < 5; i++) {
        CHECK(count_of(&sinks[i].destroyed) == 1);
    }
    return 0;
}

/* Threads: handles shared, cancelled, read and freed from several at once. */
#include "check.h"

enum { THREADS = 4, ROUNDS = 5 };

static void run(void *(*body)(void *), void *argument, pthread_t *thread) {
    CHECK(pthread_create(thread, NULL, body, argument) == 0);
}

static void join(pthread_t thread) {
    CHECK(pthread_join(thread, NULL) == 0);
}

/* Everything at once on one model. */
static void *work(void *argument) {
    pmlx_model *model = (pmlx_model *)argument;
    for (int i = 0; i < ROUNDS; i++) {
        pmlx_session *session = new_session(model);
        pmlx_generation *generation =
            start(session, "{\"prompt\":\"Hello world\",\"max_tokens\":20,\"ignore_eos\":true}");
        pmlx_string *string = NULL;
        pmlx_tokens *tokens = NULL;
        OK(pmlx_model_tokenize(model, S("Hello world"), 1, &tokens));
        OK(pmlx_model_info(model, &string));
        pmlx_session_free(session);
        CHECK(finish(generation, "\"length\"") == 20);
        pmlx_generation_free(generation);
        pmlx_string_free(string);
        pmlx_tokens_free(tokens);
    }
    return NULL;
}

static void sharing(pmlx_model *model) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        run(work, model, &threads[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        join(threads[i]);
    }
}

static void *cancel_soon(void *argument) {
    sleep_ms(20);
    pmlx_generation_cancel((pmlx_generation *)argument);
    return NULL;
}

static void *cancel_session_soon(void *argument) {
    sleep_ms(20);
    pmlx_session_cancel((pmlx_session *)argument);
    return NULL;
}

/* A reader that waits for an event is woken by a cancel, even when nothing computes. */
static void cancelling(const char *folder) {
    pmlx_engine *engine = new_engine();
    pmlx_model *model = load(engine, folder);
    pmlx_session *session = new_session(model);
    for (int i = 0; i < ROUNDS; i++) {
        pthread_t thread;
        pmlx_generation *generation = start(session, LONG_REQUEST);
        OK(pmlx_engine_suspend(engine, 60000));
        if (i % 2 == 0) {
            run(cancel_soon, generation, &thread);
        } else {
            run(cancel_session_soon, session, &thread);
        }
        finish(generation, "\"cancelled\"");
        join(thread);
        OK(pmlx_engine_resume(engine));
        pmlx_generation_free(generation);
    }
    pmlx_session_free(session);
    pmlx_model_free(model);
    pmlx_engine_free(engine);
}

struct reading {
    pmlx_generation *generation;
    int busy;
    int events;
};

static void *read_all(void *argument) {
    struct reading *reading = (struct reading *)argument;
    for (;;) {
        const pmlx_event *event = NULL;
        pmlx_error *error = pmlx_generation_next(reading->generation, &event);
        if (error != NULL) {
            CHECK(pmlx_error_code(error) == PMLX_BUSY && event == NULL);
            pmlx_error_free(error);
            add_one(&reading->busy);
            sleep_ms(1);
        } else if (event == NULL) {
            return NULL;
        } else {
            /* Not looked at: it belongs to whoever reads next. */
            add_one(&reading->events);
        }
    }
}

/* Two readers are a mistake of the host; they get errors, and no event is lost or seen twice. */
static void two_readers(pmlx_model *model) {
    pmlx_session *session = new_session(model);
    struct reading reading = {start(session, LONG_REQUEST), 0, 0};
    pthread_t threads[2];
    run(read_all, &reading, &threads[0]);
    run(read_all, &reading, &threads[1]);
    join(threads[0]);
    join(threads[1]);
    CHECK(reading.events > 2);
    pmlx_generation_free(reading.generation);
    pmlx_session_free(session);
}

/* While one waits in `next`, another gets `PMLX_BUSY` at once. */
static void busy_reader(const char *folder) {
    pmlx_engine *engine = new_engine();
    pmlx_model *model = load(engine, folder);
    pmlx_session *session = new_session(model);
    struct reading reading = {start(session, LONG_REQUEST), 0, 0};
    OK(pmlx_engine_suspend(engine, 60000));
    pthread_t thread;
    run(read_all, &reading, &thread);
    int events;
    do {
        events = count_of(&reading.events);
        sleep_ms(100);
    } while (count_of(&reading.events) != events);
    const pmlx_event *event = NULL;
    int32_t state = -1;
    FAILS(PMLX_BUSY, "thread", pmlx_generation_next(reading.generation, &event));
    FAILS(PMLX_BUSY, "thread", pmlx_generation_poll(reading.generation, 0, &event, &state));
    CHECK(event == NULL && state == -1);
    pmlx_generation_cancel(reading.generation);
    join(thread);
    pmlx_generation_free(reading.generation);
    pmlx_session_free(session);
    pmlx_model_free(model);
    pmlx_engine_free(engine);
}

/* An event loop: sleeps until it is woken, then takes what is there. */
struct loop {
    pthread_mutex_t mutex;
    pthread_cond_t woken;
    int wakes;
    int destroyed;
};

static void wake(void *user_data) {
    struct loop *loop = (struct loop *)user_data;
    pthread_mutex_lock(&loop->mutex);
    loop->wakes++;
    pthread_cond_signal(&loop->woken);
    pthread_mutex_unlock(&loop->mutex);
}

static void destroy(void *user_data) {
    add_one(&((struct loop *)user_data)->destroyed);
}

static void event_loop(pmlx_model *model) {
    struct loop loop;
    memset(&loop, 0, sizeof loop);
    pthread_mutex_init(&loop.mutex, NULL);
    pthread_cond_init(&loop.woken, NULL);
    pmlx_session *session = new_session(model);
    pmlx_generation *generation = start(session, LONG_REQUEST);
    int registered = 0;
    int32_t state = PMLX_POLL_PENDING;
    while (state != PMLX_POLL_FINISHED) {
        OK(pmlx_generation_on_ready(generation, wake, &loop, destroy));
        registered++;
        pthread_mutex_lock(&loop.mutex);
        while (loop.wakes < registered) {
            pthread_cond_wait(&loop.woken, &loop.mutex);
        }
        pthread_mutex_unlock(&loop.mutex);
        const pmlx_event *event = NULL;
        OK(pmlx_generation_poll(generation, 0, &event, &state));
        CHECK(state != PMLX_POLL_PENDING);
    }
    wait_for(&loop.destroyed, registered);
    CHECK(loop.wakes == registered);
    pmlx_generation_free(generation);
    pmlx_session_free(session);
    pthread_cond_destroy(&loop.woken);
    pthread_mutex_destroy(&loop.mutex);
}

static void *free_model(void *argument) {
    pmlx_model_free((pmlx_model *)argument);
    return NULL;
}

int main(int argc, char **argv) {
    const char *folder = model_folder(argc, argv);
    pmlx_model *model = load_alone(folder);
    sharing(model);
    two_readers(model);
    event_loop(model);
    cancelling(folder);
    busy_reader(folder);
    pthread_t thread;
    run(free_model, model, &thread);
    join(thread);
    return 0;
}

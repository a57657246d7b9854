/* Errors, strings and token lists: what they hold, and that they outlive what they came from. */
#include "check.h"

static void nothing(void) {
    CHECK(pmlx_error_code(NULL) == PMLX_OK);
    CHECK(strcmp(pmlx_error_message(NULL), "") == 0);
    CHECK(strcmp(pmlx_error_hint(NULL), "") == 0);
    CHECK(strcmp(pmlx_string_data(NULL), "") == 0);
    CHECK(pmlx_string_len(NULL) == 0);
    CHECK(pmlx_tokens_data(NULL) == NULL);
    CHECK(pmlx_tokens_len(NULL) == 0);
    pmlx_error_free(NULL);
    pmlx_string_free(NULL);
    pmlx_tokens_free(NULL);
}

/* The numbers are the interface: they never change. */
static void numbers(void) {
    CHECK(PMLX_OK == 0 && PMLX_INVALID_ARGUMENT == 1 && PMLX_NOT_FOUND == 2 && PMLX_UNSUPPORTED == 3);
    CHECK(PMLX_CONTEXT_OVERFLOW == 4 && PMLX_BUSY == 5 && PMLX_CANCELLED == 6 && PMLX_SUSPENDED == 7);
    CHECK(PMLX_IO == 20 && PMLX_CORRUPT_FILE == 21 && PMLX_NETWORK == 22);
    CHECK(PMLX_OUT_OF_MEMORY == 40 && PMLX_DEVICE_LOST == 41 && PMLX_BACKGROUND == 42 && PMLX_INTERNAL == 60);
    CHECK(PMLX_EVENT_PROMPT == 1 && PMLX_EVENT_TEXT == 2 && PMLX_EVENT_REASONING == 3);
    CHECK(PMLX_EVENT_TOOL_CALL == 4 && PMLX_EVENT_LOGPROBS == 5 && PMLX_EVENT_DONE == 6);
    CHECK(PMLX_POLL_PENDING == 0 && PMLX_POLL_READY == 1 && PMLX_POLL_FINISHED == 2);
}

static void content(void) {
    pmlx_engine *engine = new_engine();
    pmlx_model *model = NULL;
    pmlx_error *error = pmlx_model_load(engine, S("/no/such/folder"), NULL, 0, NULL, NULL, &model);
    pmlx_engine_free(engine);
    CHECK(model == NULL);
    /* Readable after its engine is gone, and as often as one likes. */
    CHECK(pmlx_error_code(error) == PMLX_NOT_FOUND);
    CHECK(strstr(pmlx_error_message(error), "/no/such/folder") != NULL);
    CHECK(pmlx_error_message(error) == pmlx_error_message(error));
    CHECK(pmlx_error_hint(error) != NULL);
    pmlx_error_free(error);

    /* A message quotes what came from outside, also when that holds NUL or is long. */
    FAILS(PMLX_INVALID_ARGUMENT, "a\\0b", pmlx_engine_new(S("{\"a\\u0000b\":1}"), &engine));
    size_t len = 1000000;
    char *source = (char *)malloc(len);
    CHECK(source != NULL);
    memset(source, 'x', len);
    engine = new_engine();
    error = pmlx_model_load(engine, source, len, NULL, 0, NULL, NULL, &model);
    CHECK(error != NULL && pmlx_error_code(error) != PMLX_INTERNAL);
    pmlx_error_free(error);
    source[500] = '\0';
    error = pmlx_model_load(engine, source, 1000, NULL, 0, NULL, NULL, &model);
    CHECK(error != NULL && pmlx_error_code(error) != PMLX_INTERNAL);
    pmlx_error_free(error);
    pmlx_engine_free(engine);
    free(source);
}

static void results(const char *folder) {
    pmlx_model *model = load_alone(folder);
    pmlx_tokens *tokens = NULL;
    pmlx_string *text = NULL;
    /* Text may hold NUL, both ways. */
    OK(pmlx_model_tokenize(model, "a\0b", 3, 0, &tokens));
    CHECK(pmlx_tokens_len(tokens) > 0 && pmlx_tokens_data(tokens) != NULL);
    OK(pmlx_model_detokenize(model, pmlx_tokens_data(tokens), pmlx_tokens_len(tokens), &text));
    pmlx_model_free(model);
    CHECK(pmlx_string_len(text) == 3);
    CHECK(memcmp(pmlx_string_data(text), "a\0b", 4) == 0);
    pmlx_string_free(text);
    pmlx_tokens_free(tokens);
}

int main(int argc, char **argv) {
    const char *folder = model_folder(argc, argv);
    nothing();
    numbers();
    content();
    results(folder);
    return 0;
}

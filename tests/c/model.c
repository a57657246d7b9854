/* Models: probing, loading, tokens, templates, scores. */
#include "check.h"

struct progress {
    int calls;
    int32_t answer;
    int32_t last_stage;
};

static int32_t on_progress(void *user_data, const pmlx_progress *now) {
    struct progress *seen = (struct progress *)user_data;
    CHECK(now->struct_size == sizeof(pmlx_progress));
    CHECK(now->stage >= PMLX_STAGE_CHECK && now->stage <= PMLX_STAGE_TOKENIZER);
    CHECK(now->item != NULL && strlen(now->item) == now->item_len);
    CHECK(now->total == 0 || now->done <= now->total);
    CHECK(now->bytes_per_second >= 0);
    seen->calls++;
    seen->last_stage = now->stage;
    return seen->answer;
}

static void probing(const char *folder) {
    pmlx_string *report = NULL;
    OK(pmlx_model_probe(S(folder), NULL, 0, &report));
    CHECK(holds(report, "\"supported\":true"));
    OK(pmlx_model_probe(S(folder), S("{\"context_length\":128}"), &report));
    CHECK(holds(report, "memory"));
    report = NULL;
    FAILS(PMLX_NOT_FOUND, "/no/such", pmlx_model_probe(S("/no/such"), NULL, 0, &report));
    FAILS(PMLX_INVALID_ARGUMENT, "size", pmlx_model_probe(S(folder), S("{\"size\":1}"), &report));
    CHECK(report == NULL);
}

static void loading(pmlx_engine *engine, const char *folder) {
    struct progress seen = {0, 0, 0};
    pmlx_model *model = NULL;
    OK(pmlx_model_load(engine, S(folder), S("{\"context_length\":256}"), on_progress, &seen, &model));
    CHECK(seen.calls > 0);
    pmlx_string *info = NULL;
    OK(pmlx_model_info(model, &info));
    CHECK(holds(info, "\"context_length\":256"));
    pmlx_model_free(model);

    model = NULL;
    seen.calls = 0;
    seen.answer = 1;
    FAILS(PMLX_CANCELLED, "", pmlx_model_load(engine, S(folder), NULL, 0, on_progress, &seen, &model));
    CHECK(seen.calls == 1);
    seen.answer = -7;
    FAILS(PMLX_INVALID_ARGUMENT, "-7", pmlx_model_load(engine, S(folder), NULL, 0, on_progress, &seen, &model));
    CHECK(seen.calls == 2);
    FAILS(PMLX_INVALID_ARGUMENT, "speed", pmlx_model_load(engine, S(folder), S("{\"speed\":9}"), NULL, NULL, &model));
    FAILS(PMLX_NOT_FOUND, "", pmlx_model_load(engine, S("/no/such"), NULL, 0, NULL, NULL, &model));
    CHECK(model == NULL);
    OK(pmlx_engine_info(engine, &info));
    CHECK(holds(info, "\"models\":[]"));

    /* The same model twice, side by side. */
    pmlx_model *first = load(engine, folder);
    pmlx_model *second = load(engine, folder);
    pmlx_model_free(first);
    OK(pmlx_model_info(second, &info));
    CHECK(holds(info, "\"vocab\""));
    pmlx_model_free(second);
    pmlx_model_free(NULL);
}

static void tokens(pmlx_model *model) {
    static const char text[] = "Hello world, gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x90\xa2";
    pmlx_tokens *ids = NULL;
    OK(pmlx_model_tokenize(model, S(text), 1, &ids));
    CHECK(pmlx_tokens_len(ids) > 4 && pmlx_tokens_len(ids) < strlen(text));
    pmlx_string *back = NULL;
    OK(pmlx_model_detokenize(model, pmlx_tokens_data(ids), pmlx_tokens_len(ids), &back));
    CHECK(holds(back, text));
    pmlx_tokens_free(ids);

    OK(pmlx_model_tokenize(model, "", 0, 0, &ids));
    CHECK(pmlx_tokens_len(ids) == 0 && pmlx_tokens_data(ids) == NULL);
    pmlx_tokens_free(ids);
    uint32_t none = 0;
    OK(pmlx_model_detokenize(model, &none, 0, &back));
    CHECK(pmlx_string_len(back) == 0);
    pmlx_string_free(back);

    ids = NULL;
    back = NULL;
    FAILS(PMLX_INVALID_ARGUMENT, "add_special is 2", pmlx_model_tokenize(model, S("x"), 2, &ids));
    FAILS(PMLX_INVALID_ARGUMENT, "UTF-8", pmlx_model_tokenize(model, "ab\xff", 3, 0, &ids));
    uint32_t unknown = 4000000000u;
    FAILS(PMLX_INVALID_ARGUMENT, "4000000000", pmlx_model_detokenize(model, &unknown, 1, &back));
    CHECK(ids == NULL && back == NULL);
}

static void rendering(pmlx_model *model) {
    pmlx_string *prompt = NULL;
    OK(pmlx_model_render(model, S("{\"messages\":[{\"role\":\"user\",\"content\":\"Hi there\"}]}"), &prompt));
    CHECK(holds(prompt, "Hi there"));
    prompt = NULL;
    FAILS(PMLX_INVALID_ARGUMENT, "messages", pmlx_model_render(model, S("{}"), &prompt));
    FAILS(PMLX_INVALID_ARGUMENT, "massages", pmlx_model_render(model, S("{\"massages\":[]}"), &prompt));
    CHECK(prompt == NULL);
}

static void scoring(pmlx_model *model) {
    pmlx_string *score = NULL;
    OK(pmlx_model_score(model, S("{\"prompt\":\"Hello world\",\"top_logprobs\":2}"), &score));
    const char *json = pmlx_string_data(score);
    CHECK(strncmp(json, "{\"tokens\":[", 11) == 0);
    CHECK(strstr(json, "],\"logprobs\":[null,-") != NULL);
    CHECK(strstr(json, "],\"top\":[") != NULL);
    CHECK(strstr(json, "\"perplexity\":") != NULL);
    pmlx_string_free(score);
    score = NULL;
    FAILS(PMLX_INVALID_ARGUMENT, "999999", pmlx_model_score(model, S("{\"prompt_ids\":[999999]}"), &score));
    FAILS(PMLX_INVALID_ARGUMENT, "", pmlx_model_score(model, S("{\"prompt_ids\":[]}"), &score));
    FAILS(PMLX_INVALID_ARGUMENT, "", pmlx_model_score(model, S("{}"), &score));
    CHECK(score == NULL);
}

int main(int argc, char **argv) {
    const char *folder = model_folder(argc, argv);
    probing(folder);
    pmlx_engine *engine = new_engine();
    loading(engine, folder);
    pmlx_model *model = load(engine, folder);
    pmlx_engine_free(engine);
    tokens(model);
    rendering(model);
    scoring(model);
    pmlx_model_free(model);
    return 0;
}

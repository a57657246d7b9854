/**
 * @file
 * PocketMLX: language models on the user's own device.
 *
 * Generated from src/ffi by `cargo xtask header`; not to be edited.
 *
 * A program makes an engine, loads a model into it, opens a session on the model, and starts generations in the
 * session:
 *
 *     pmlx_engine_new -> pmlx_model_load -> pmlx_session_new -> pmlx_session_start -> pmlx_generation_next ...
 *
 * These rules hold for every function:
 *
 * Errors. A function that can fail returns a pmlx_error, or NULL when it succeeded. The caller owns the error and frees
 * it with pmlx_error_free. Outputs are written only on success. No failure inside the library ends the process: a bug
 * comes back as PMLX_INTERNAL.
 *
 * NULL. The ..._free functions take NULL. Options, callbacks and user data may be NULL where it says so here or at the
 * function: options (with length 0) mean all defaults, user_data is only passed on, destroy may be NULL. Any other NULL
 * is PMLX_INVALID_ARGUMENT; functions that return no error do nothing, or return something empty.
 *
 * Ownership. What a function gives through `out` belongs to the caller, who frees it once with the ..._free function of
 * its type. Freeing a handle leaves what was made from it working (a session keeps its model, a model its engine), so
 * handles may be freed in any order. Anything else that is pointed to is borrowed: what the caller passes in only for
 * the call, what the library hands out for as long as its documentation says.
 *
 * Threads. Any function may be called from any thread, on the same handle from several at once. Exceptions: a handle is
 * freed when no other call on it is running, and a generation is read by one thread at a time (a second one gets
 * PMLX_BUSY). The ..._cancel functions never block. After fork(), the child may use nothing of this library.
 *
 * Text is UTF-8, passed as a pointer and a length in bytes; it needs no NUL at its end and may hold NUL. Text that comes
 * back has a length and a NUL after its last byte.
 *
 * JSON carries options and requests. A key that the library does not know is PMLX_INVALID_ARGUMENT, and the message
 * names it. In JSON that comes back, ignore keys you don't know: later versions may add some.
 *
 * Requests take one of "messages" (OpenAI's shape; appended to the session's transcript), "transcript" (replaces it),
 * "prompt" (plain text, no template) and "prompt_ids"; and "max_tokens", "temperature", "top_p", "top_k", "min_p",
 * "repetition_penalty", "presence_penalty", "frequency_penalty", "logit_bias", "seed", "stop", "logprobs",
 * "top_logprobs", "ignore_eos", "context_overflow" ("error", "drop_oldest_turns"), "tools", "tool_choice",
 * "response_format", "template" (more variables for the chat template).
 *
 * Callbacks return 0 to go on and 1 to cancel. Any other answer cancels too, and the function that called back fails
 * with PMLX_INVALID_ARGUMENT. They are called on the thread and during the call that they were passed to, except those
 * of pmlx_set_log and pmlx_generation_on_ready, which come with a `destroy`. A callback may call any function of this
 * library, also cancel or free the handles of the call it is in, unless its documentation says otherwise. It must not
 * leave by an exception or longjmp.
 *
 * Numbers. Kinds, codes and states are int32_t with fixed values that are never reused. Ignore values you don't know.
 *
 * Structs from the library start with struct_size, the bytes that the library filled in: a field that lies beyond it
 * does not exist in the library that is loaded. Fields are only added at the end. The other structs never change.
 *
 * Versions. A program compiled with this header runs with every library of the same PMLX_ABI_VERSION that is not older
 * than the header; compare it with pmlx_abi_version() at the start.
 */

#ifndef POCKETMLX_H
#define POCKETMLX_H

#include <stddef.h>
#include <stdint.h>

/** The version of the library that this header belongs to; `pmlx_version` says which one is loaded. */
#define PMLX_VERSION "0.1.0"
#define PMLX_VERSION_MAJOR 0
#define PMLX_VERSION_MINOR 1
#define PMLX_VERSION_PATCH 0

/** The result must not be ignored: it is an error to free. */
#if defined(__GNUC__)
#define PMLX_MUST_USE __attribute__((warn_unused_result))
#else
#define PMLX_MUST_USE
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** What computes, with its memory budget. Models live in it. */
typedef struct pmlx_engine pmlx_engine;

/** A failure. Immutable; may be read from any thread and outlives everything it came from. */
typedef struct pmlx_error pmlx_error;

/**
 * A running answer. One thread at a time reads it; any thread may cancel it or wait for it with
 * `pmlx_generation_on_ready`.
 */
typedef struct pmlx_generation pmlx_generation;

/** A loaded model. Sessions are made from it; it may be shared by any number of them. */
typedef struct pmlx_model pmlx_model;

/** A transcript plus defaults. One generation runs in it at a time. */
typedef struct pmlx_session pmlx_session;

/** UTF-8 with a NUL after its last byte. Immutable. */
typedef struct pmlx_string pmlx_string;

/** Token ids. Immutable. */
typedef struct pmlx_tokens pmlx_tokens;

/**
 * @defgroup version Versions of this interface and of the library
 * @{
 */

/** Grows when a function or struct of this header changes its meaning; additions leave it. */
#define PMLX_ABI_VERSION 1

/**
 * The `PMLX_ABI_VERSION` of the library that is loaded. A host compares it with that of the header it was compiled
 * with, once at its start.
 */
uint32_t pmlx_abi_version(void);

/** The version of the library that is loaded, such as "0.1.0". Static; not to be freed. */
const char *pmlx_version(void);

/** @} */

/**
 * @defgroup error Errors: what happened and what to do about it
 * @{
 */

/** No error. */
#define PMLX_OK 0

/** An argument, option or request is malformed or out of range. */
#define PMLX_INVALID_ARGUMENT 1

/** A file, folder or model does not exist. */
#define PMLX_NOT_FOUND 2

/** The request or model needs something that this build cannot do; the message names it. */
#define PMLX_UNSUPPORTED 3

/** The prompt does not fit into the model's context. */
#define PMLX_CONTEXT_OVERFLOW 4

/** The session is already generating, or another thread is reading the same generation. */
#define PMLX_BUSY 5

/** The operation was cancelled. */
#define PMLX_CANCELLED 6

/** The engine is suspended. */
#define PMLX_SUSPENDED 7

/** Reading or writing failed. */
#define PMLX_IO 20

/** A file's content is not what its format asks for. */
#define PMLX_CORRUPT_FILE 21

/** A transfer failed. */
#define PMLX_NETWORK 22

/** Over the memory budget, or the device has no memory left. */
#define PMLX_OUT_OF_MEMORY 40

/** The device failed and its state is lost. */
#define PMLX_DEVICE_LOST 41

/** The system refuses GPU work because the app is in the background. */
#define PMLX_BACKGROUND 42

/** A bug in this library: a caught panic or a broken invariant. */
#define PMLX_INTERNAL 60

/** The error's code, one of `PMLX_INVALID_ARGUMENT` and so on; `PMLX_OK` for `NULL`. Later versions may add codes. */
int32_t pmlx_error_code(const pmlx_error *error);

/** What happened, with the values involved; "" for `NULL`. Lives as long as the error. */
const char *pmlx_error_message(const pmlx_error *error);

/** What to do about it, or ""; "" for `NULL`. Lives as long as the error. */
const char *pmlx_error_hint(const pmlx_error *error);

/** Frees an error; `NULL` is allowed. */
void pmlx_error_free(pmlx_error *error);

/** @} */

/**
 * @defgroup text Text and token ids that the caller owns
 * @{
 */

/** The text, with a NUL after its last byte (it may also hold NUL); "" for `NULL`. Lives as long as the string. */
const char *pmlx_string_data(const pmlx_string *string);

/** Its length in bytes, without the NUL at the end; 0 for `NULL`. */
size_t pmlx_string_len(const pmlx_string *string);

/** Frees a string; `NULL` is allowed. */
void pmlx_string_free(pmlx_string *string);

/** The ids; `NULL` when there are none. Lives as long as the tokens. */
const uint32_t *pmlx_tokens_data(const pmlx_tokens *tokens);

/** The number of ids; 0 for `NULL`. */
size_t pmlx_tokens_len(const pmlx_tokens *tokens);

/** Frees tokens; `NULL` is allowed. */
void pmlx_tokens_free(pmlx_tokens *tokens);

/** @} */

/**
 * @defgroup callback Callbacks that outlive the call: the data that travels with them
 * @{
 */

/** Releases `user_data` once the library is done with it. May be `NULL`. */
typedef void (*pmlx_destroy_fn)(void *user_data);

/** @} */

/**
 * @defgroup log Messages for the host's own log
 * @{
 */

/** Nothing. */
#define PMLX_LOG_OFF 0

/** Failures. */
#define PMLX_LOG_ERROR 1

/** And what may be wrong. */
#define PMLX_LOG_WARN 2

/** And what happens now and then, such as a model being loaded. */
#define PMLX_LOG_INFO 3

/** And what happens in a generation. */
#define PMLX_LOG_DEBUG 4

/** And everything else. */
#define PMLX_LOG_TRACE 5

/**
 * Gets one message, with a NUL at its end, valid until it returns. Called on any thread, also on several at once; it
 * must return soon and call nothing of this library.
 */
typedef void (*pmlx_log_fn)(void *user_data, int32_t level, const char *message, size_t len);

/**
 * Sends the library's messages up to `level` to `callback`, in place of the one set before; `NULL` switches them off.
 * `destroy` is called exactly once, on any thread and whatever this function returns: when another callback was set and
 * the last call of this one has returned. `PMLX_BUSY` when the process already sends its `tracing` events elsewhere.
 */
PMLX_MUST_USE pmlx_error *pmlx_set_log(int32_t level, pmlx_log_fn callback, void *user_data, pmlx_destroy_fn destroy);

/** @} */

/**
 * @defgroup progress Progress of what takes long
 * @{
 */

/** Configuration and headers are read and checked. */
#define PMLX_STAGE_CHECK 1

/** Weights are taken over by the device. */
#define PMLX_STAGE_WEIGHTS 2

/** The tokenizer is read. */
#define PMLX_STAGE_TOKENIZER 3

/** Files are fetched from a hub. */
#define PMLX_STAGE_DOWNLOAD 4

/** How far a long operation has come. Borrowed: valid until the callback that got it returns. */
typedef struct pmlx_progress {
    /** Bytes of this struct that the library filled in. */
    uint32_t struct_size;
    /** `PMLX_STAGE_CHECK` and so on. Later versions may add stages. */
    int32_t stage;
    /** Bytes done. */
    uint64_t done;
    /** Bytes in all; 0 when not known. */
    uint64_t total;
    /** The current rate. */
    double bytes_per_second;
    /** What is being worked on, such as a file's name, with a NUL at the end. Never `NULL`. */
    const char *item;
    /** Bytes of `item`. */
    size_t item_len;
} pmlx_progress;

/** Gets the progress of a long operation at least every 50 ms. Returns 0 to go on, 1 to cancel. */
typedef int32_t (*pmlx_progress_fn)(void *user_data, const pmlx_progress *progress);

/** @} */

/**
 * @defgroup engine Engines
 * @{
 */

/**
 * Makes an engine. `options` is JSON: "device" ("auto", "mlx-gpu", "mlx-cpu", "cpu"), "memory_limit_bytes", "threads",
 * "idle_unload_seconds", "prefix_cache_bytes".
 */
PMLX_MUST_USE pmlx_error *pmlx_engine_new(const char *options, size_t options_len, pmlx_engine **out);

/** Device, memory in use, versions, loaded models and health, as JSON. */
PMLX_MUST_USE pmlx_error *pmlx_engine_info(pmlx_engine *engine, pmlx_string **out);

/**
 * Finishes the step that is computing and starts no other: running generations pause, and until
 * `pmlx_engine_resume` new ones fail with `PMLX_SUSPENDED`. Returns when the device is idle; call it before the app
 * goes to the background. When the device is still not idle after `timeout_ms`, it fails and the engine stays
 * suspended.
 */
PMLX_MUST_USE pmlx_error *pmlx_engine_suspend(pmlx_engine *engine, uint32_t timeout_ms);

/** Goes on after `pmlx_engine_suspend`; does nothing when the engine is not suspended. */
PMLX_MUST_USE pmlx_error *pmlx_engine_resume(pmlx_engine *engine);

/**
 * Gives back the memory that no running generation needs, such as states kept for later prompts; call it on a memory
 * warning.
 */
PMLX_MUST_USE pmlx_error *pmlx_engine_trim(pmlx_engine *engine, uint64_t *freed_bytes);

/** Frees the handle; `NULL` is allowed. Models made from it keep working. */
void pmlx_engine_free(pmlx_engine *engine);

/** @} */

/**
 * @defgroup model Models
 * @{
 */

/**
 * Whether a model is supported and how much memory it would take, as JSON, without reading its weights. `source` is
 * what `pmlx_model_load` takes. `options` is JSON: "context_length", "kv_bits" (as for loading).
 */
PMLX_MUST_USE
pmlx_error *pmlx_model_probe(const char *source,
                             size_t source_len,
                             const char *options,
                             size_t options_len,
                             pmlx_string **out);

/**
 * Loads a model. `source` is a folder, a `.gguf` file, a hub id (what `pmlx_hub_download` takes) or "demo".
 * `options` is JSON: "precision" ("default", "exact"), "kv_bits" (4, 8 or 16: bits of a number in the caches of keys
 * and values), "context_length", "profile" (`true` measures each operation). Blocks; `progress` (`NULL` for none) is
 * called on this thread, and when it returns 1 the load fails with `PMLX_CANCELLED`.
 */
PMLX_MUST_USE
pmlx_error *pmlx_model_load(pmlx_engine *engine,
                            const char *source,
                            size_t source_len,
                            const char *options,
                            size_t options_len,
                            pmlx_progress_fn progress,
                            void *user_data,
                            pmlx_model **out);

/** What the model is, what it can do and what it takes, as JSON. */
PMLX_MUST_USE pmlx_error *pmlx_model_info(pmlx_model *model, pmlx_string **out);

/** The token ids of a text; `add_special` is 1 to add special tokens such as BOS as the tokenizer says, else 0. */
PMLX_MUST_USE
pmlx_error *pmlx_model_tokenize(pmlx_model *model,
                                const char *text,
                                size_t text_len,
                                int32_t add_special,
                                pmlx_tokens **out);

/** The text of `n` token ids. */
PMLX_MUST_USE
pmlx_error *pmlx_model_detokenize(pmlx_model *model,
                                  const uint32_t *ids,
                                  size_t n,
                                  pmlx_string **out);

/** The prompt that the chat template makes of a request, as plain text. */
PMLX_MUST_USE
pmlx_error *pmlx_model_render(pmlx_model *model,
                              const char *request,
                              size_t request_len,
                              pmlx_string **out);

/**
 * The log-probabilities of the tokens of a given text, with the request's "top_logprobs" most likely alternatives, as
 * JSON: `{"tokens": [id, ...], "logprobs": [null, number, ...], "top": [[[id, number], ...], ...], "perplexity":
 * number}`.
 */
PMLX_MUST_USE
pmlx_error *pmlx_model_score(pmlx_model *model,
                             const char *request,
                             size_t request_len,
                             pmlx_string **out);

/** Frees the handle; `NULL` is allowed. Sessions made from it keep working; its memory goes back with the last of them. */
void pmlx_model_free(pmlx_model *model);

/** @} */

/**
 * @defgroup event Events: what a generation reports
 * @{
 */

/** The prompt is being processed: `done` tokens of `total`. */
#define PMLX_EVENT_PROMPT 1

/** Newly generated text, with the `tokens` behind it. */
#define PMLX_EVENT_TEXT 2

/** Newly generated reasoning, with the `tokens` behind it. */
#define PMLX_EVENT_REASONING 3

/** A call of a tool, as `json`. */
#define PMLX_EVENT_TOOL_CALL 4

/**
 * Log-probabilities of the tokens of the text that follows. `json` is a list of `{"token": id, "logprob": number,
 * "top": [[id, number], ...]}`.
 */
#define PMLX_EVENT_LOGPROBS 5

/**
 * The end. `json` is `{"finish_reason": "stop" | "length" | "cancelled", "usage": {"prompt_tokens",
 * "completion_tokens", "cached_tokens"}, "timings": {"ttft_ms", "prefill_tokens_per_second",
 * "decode_tokens_per_second"}}`; later versions may add keys and reasons.
 */
#define PMLX_EVENT_DONE 6

/**
 * One step of a generation. Fields that its kind does not use are "", `NULL` or 0. Borrowed: valid until the next call
 * on the same generation, or until the callback that got it returns.
 */
typedef struct pmlx_event {
    /** Bytes of this struct that the library filled in. */
    uint32_t struct_size;
    /** `PMLX_EVENT_PROMPT` and so on. Ignore kinds you don't know. */
    int32_t kind;
    /** TEXT, REASONING: whole UTF-8 characters with a NUL at the end; may be empty. Never `NULL`. */
    const char *text;
    /** Bytes of `text`. */
    size_t text_len;
    /** TEXT, REASONING: the ids behind the text; `NULL` when there are none. */
    const uint32_t *tokens;
    /** Number of `tokens`. */
    size_t tokens_len;
    /** TOOL_CALL, LOGPROBS, DONE: JSON with a NUL at the end. Never `NULL`. */
    const char *json;
    /** Bytes of `json`. */
    size_t json_len;
    /** PROMPT: tokens processed. */
    uint64_t done;
    /** PROMPT: tokens of the whole prompt. */
    uint64_t total;
} pmlx_event;

/** Gets each event of a generation. Returns 0 to go on, 1 to cancel. */
typedef int32_t (*pmlx_event_fn)(void *user_data, const pmlx_event *event);

/** @} */

/**
 * @defgroup session Sessions
 * @{
 */

/** Bytes that a request names by their index, such as an image. None are supported yet: pass `NULL` and 0. */
typedef struct pmlx_blob {
    /** The bytes. */
    const uint8_t *data;
    /** Their number. */
    size_t len;
} pmlx_blob;

/**
 * Makes a session. `options` is JSON: "instructions" (the system message), "transcript" (messages to start from),
 * "tools", "defaults" (of requests).
 */
PMLX_MUST_USE
pmlx_error *pmlx_session_new(pmlx_model *model,
                             const char *options,
                             size_t options_len,
                             pmlx_session **out);

/**
 * Starts a generation and returns at once; it is read with `pmlx_generation_next`. `PMLX_BUSY` while another one of
 * this session runs.
 */
PMLX_MUST_USE
pmlx_error *pmlx_session_start(pmlx_session *session,
                               const char *request,
                               size_t request_len,
                               const pmlx_blob *blobs,
                               size_t n,
                               pmlx_generation **out);

/**
 * Starts a generation and calls `callback` with each of its events on this thread; returns after the last. When
 * `callback` returns 1, or something else cancels the generation, that is no failure: the last event says "cancelled".
 * After returning 1, `callback` is called once more, with that event. An answer other than 0 and 1 cancels, and this
 * function fails with `PMLX_INVALID_ARGUMENT`.
 */
PMLX_MUST_USE
pmlx_error *pmlx_session_generate(pmlx_session *session,
                                  const char *request,
                                  size_t request_len,
                                  const pmlx_blob *blobs,
                                  size_t n,
                                  pmlx_event_fn callback,
                                  void *user_data);

/**
 * Cancels what runs or waits in the session; its last event says "cancelled". Never blocks; does nothing when nothing
 * runs, or for `NULL`.
 */
void pmlx_session_cancel(pmlx_session *session);

/** The transcript as a JSON list of messages. An answer that was cancelled has "partial": true. */
PMLX_MUST_USE pmlx_error *pmlx_session_history(pmlx_session *session, pmlx_string **out);

/** A second session with the same transcript and defaults; both go their own ways from here. */
PMLX_MUST_USE pmlx_error *pmlx_session_fork(pmlx_session *session, pmlx_session **out);

/** Keeps the first `messages` messages of the transcript and forgets the rest. */
PMLX_MUST_USE pmlx_error *pmlx_session_rewind(pmlx_session *session, size_t messages);

/** Frees the handle; `NULL` is allowed. A generation that runs in it keeps running. */
void pmlx_session_free(pmlx_session *session);

/** @} */

/**
 * @defgroup generation Generations: running answers, read by the host
 * @{
 */

/** No event yet. */
#define PMLX_POLL_PENDING 0

/** An event. */
#define PMLX_POLL_READY 1

/** All events were read. */
#define PMLX_POLL_FINISHED 2

/** Wakes the host's event loop. */
typedef void (*pmlx_ready_fn)(void *user_data);

/**
 * Waits for the next event. `out` gets `NULL` after the last one. After a failure, every later call fails in the same
 * way. `PMLX_BUSY` while another thread reads the same generation.
 */
PMLX_MUST_USE pmlx_error *pmlx_generation_next(pmlx_generation *generation, const pmlx_event **out);

/**
 * Like `pmlx_generation_next`, but waits `timeout_ms` at most (0: not at all). `state` gets `PMLX_POLL_READY`,
 * `_PENDING` or `_FINISHED`, and `out` an event or `NULL`.
 */
PMLX_MUST_USE
pmlx_error *pmlx_generation_poll(pmlx_generation *generation,
                                 uint32_t timeout_ms,
                                 const pmlx_event **out,
                                 int32_t *state);

/**
 * Calls `callback` once, when a read would not wait: at an event, the end, a failure, or when the generation is freed
 * or this function is called again. Then `destroy` is called once; when this function fails, only `destroy` is. Either
 * may happen on any thread, also on this one before this function returns. `callback` must return soon and call
 * nothing of this library: it wakes an event loop, which then reads with `pmlx_generation_poll`.
 */
PMLX_MUST_USE
pmlx_error *pmlx_generation_on_ready(pmlx_generation *generation,
                                     pmlx_ready_fn callback,
                                     void *user_data,
                                     pmlx_destroy_fn destroy);

/**
 * Ends the generation soon; its last event says "cancelled". Never blocks; may be called repeatedly, at any time, from
 * any thread. Does nothing for `NULL`.
 */
void pmlx_generation_cancel(pmlx_generation *generation);

/** Cancels the generation and frees the handle; `NULL` is allowed. */
void pmlx_generation_free(pmlx_generation *generation);

/** @} */

/**
 * @defgroup hub Models of a hub and the cache on this device
 * @{
 */

/**
 * Fetches what a run needs of a model into the cache, unless it is there, and gives the folder or GGUF file, which
 * `pmlx_model_load` takes (it takes the name, too). `source` is "owner/name" or "owner/name@revision"; of a repository
 * with GGUF files also "owner/name:Q4_K_M" or "owner/name/FILE.gguf". `options`, as
 * for all functions of the hub, is JSON: "endpoints" (a list of addresses, tried in order), "token", "cache" (a
 * folder), "offline"; what is left out comes from `HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`, `HF_HUB_CACHE` and
 * `HF_HUB_OFFLINE`. Blocks; `progress` (`NULL` for none) is called on this thread, and when it returns 1 the download
 * fails with `PMLX_CANCELLED` and goes on where it was when it is asked for again.
 *
 * Builds without downloads fail with `PMLX_UNSUPPORTED` in all functions of the hub.
 */
PMLX_MUST_USE
pmlx_error *pmlx_hub_download(const char *source,
                              size_t source_len,
                              const char *options,
                              size_t options_len,
                              pmlx_progress_fn progress,
                              void *user_data,
                              pmlx_string **out);

/**
 * The models in the cache, as JSON: `[{"id", "bytes", "revisions": [{"commit", "references": [], "complete", "gguf": [], "path"}],
 * "last_used", "path"}]`, with the last use in seconds since 1970.
 */
PMLX_MUST_USE
pmlx_error *pmlx_hub_list(const char *options,
                          size_t options_len,
                          pmlx_string **out);

/**
 * Removes a model, all of its revisions, from the cache, and says what the file system has back, as JSON: `{"id",
 * "bytes", "whole"}`. `PMLX_NOT_FOUND` when it is not there, `PMLX_BUSY` while it is being fetched.
 */
PMLX_MUST_USE
pmlx_error *pmlx_hub_remove(const char *source,
                            size_t source_len,
                            const char *options,
                            size_t options_len,
                            pmlx_string **out);

/**
 * What the hub tells of a model, or the cache when the hub is not to be asked, as JSON: "id", "commit", "license", "gated"
 * ("no", "auto", "manual") with "access_hint", "base_models", "model_type", "quantization", "download_bytes", "cached",
 * "versions" and more; "supported" with "reason" and "hint", by its config.json alone; "fit", what it takes on this
 * device. Unknown values are null. `request` is JSON: "memory_bytes", "context_length". May wait for the network.
 */
PMLX_MUST_USE
pmlx_error *pmlx_hub_info(const char *source,
                          size_t source_len,
                          const char *request,
                          size_t request_len,
                          const char *options,
                          size_t options_len,
                          pmlx_string **out);

/**
 * The models that the hub finds, as a JSON list of what `pmlx_hub_info` gives: first what runs and fits this device.
 * `request` is JSON: "query", "author", "tags", "sort" ("downloads", "likes", "trending", "modified"), "limit",
 * "memory_bytes", "context_length". Waits for the network.
 */
PMLX_MUST_USE
pmlx_error *pmlx_hub_search(const char *request,
                            size_t request_len,
                            const char *options,
                            size_t options_len,
                            pmlx_string **out);

/**
 * Models of the library's own catalogue, those first that suit this device best, as JSON: `[{"id", "tasks",
 * "supported", "parameters", "context_length", "fit", "reason", "source", "verified", "seen"}]`. `request` is JSON: "task"
 * ("chat", "code", "reasoning", "vision", "embedding", "small"), "memory_bytes", "context_length", "limit". Asks no hub.
 */
PMLX_MUST_USE
pmlx_error *pmlx_hub_recommend(const char *request,
                               size_t request_len,
                               pmlx_string **out);

/** @} */

#ifdef __cplusplus
}
#endif

#endif /* POCKETMLX_H */

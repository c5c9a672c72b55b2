/* checkpoint.c - which files make a checkpoint, and what its index may not say; rows as float32; side files; folders of
 * methods that are not built. */
#include "help.h"

#include "io/checkpoint.h"
#include "io/containers/container.h"

#define A "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}"
#define B "{\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}"
#define AB \
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[16,19]}}"

static void put_two(const char *dir, const char *index)
{
    write_st(join(dir, "m-1.safetensors"), A, 16);
    write_st(join(dir, "m-2.safetensors"), B, 3);
    if (index)
        write_text(join(dir, "model.safetensors.index.json"), index);
}

static void shards_are_one_sorted_list(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct checkpoint c;
    struct tensor_view v;
    const char *dir = temp_folder("two");
    put_two(dir, "{\"weight_map\":{\"b\":\"m-2.safetensors\",\"a\":\"m-1.safetensors\"}}");
    write_st(join(dir, "consolidated.safetensors"), AB, 19);
    checkpoint_open(dir, &c, &e);
    no_error(&e);
    assert_int_equal(c.tensors.count, 2);
    assert_string_equal(c.tensors.at(c.tensors.self, 0)->name, "a");
    assert_string_equal(c.tensors.at(c.tensors.self, 1)->name, "b");
    assert_null(c.tensors.find(c.tensors.self, "c"));
    assert_null(c.config);
    assert_string_equal(checkpoint_shard(&c, "b"), "m-2.safetensors");
    assert_null(checkpoint_shard(&c, "c"));
    c.tensors.view(c.tensors.self, "b", &v, &e);
    no_error(&e);
    assert_memory_equal(v.data, "\0\1\2", 3);
    assert_int_equal(c.shards.n, 2);
    checkpoint_close(&c);
    checkpoint_close(&c);
}

static void the_index_wins_then_model_then_the_only_file(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct checkpoint c;
    const char *dir = temp_folder("which");
    write_st(join(dir, "other.safetensors"), B, 3);
    checkpoint_open(dir, &c, &e);
    no_error(&e);
    assert_string_equal(checkpoint_shard(&c, "b"), "other.safetensors");
    checkpoint_close(&c);
    write_st(join(dir, "model.safetensors"), A, 16);
    checkpoint_open(dir, &c, &e);
    no_error(&e);
    assert_null(checkpoint_shard(&c, "b"));
    assert_string_equal(checkpoint_shard(&c, "a"), "model.safetensors");
    checkpoint_close(&c);
    write_text(join(dir, "model.safetensors.index.json"), "{\"weight_map\":{\"b\":\"other.safetensors\"}}");
    checkpoint_open(dir, &c, &e);
    no_error(&e);
    assert_string_equal(checkpoint_shard(&c, "b"), "other.safetensors");
    assert_null(checkpoint_shard(&c, "a"));
    checkpoint_close(&c);
}

static const struct {
    const char *name, *index;
    const char *what; /* behind the folder's path */
} bad_index[] = {
    { "no map", "{}", "/model.safetensors.index.json: key 'weight_map' is missing, expected an object" },
    { "a list", "{\"weight_map\":[]}",
      "/model.safetensors.index.json: key 'weight_map' is a list, expected an object" },
    { "empty", "{\"weight_map\":{}}", "/model.safetensors.index.json: weight_map names no tensor" },
    { "number for a file", "{\"weight_map\":{\"a\":1}}",
      "/model.safetensors.index.json: weight_map of tensor 'a' is an integer, expected a file name" },
    { "file elsewhere", "{\"weight_map\":{\"a\":\"../m.safetensors\"}}",
      "/model.safetensors.index.json: tensor 'a' is said to lie in '../m.safetensors', expected a *.safetensors file of the "
      "folder" },
    { "pickle", "{\"weight_map\":{\"a\":\"m.bin\"}}",
      "/model.safetensors.index.json: tensor 'a' is said to lie in 'm.bin', expected a *.safetensors file of the folder" },
    { "absent file", "{\"weight_map\":{\"a\":\"m-3.safetensors\"}}",
      "/model.safetensors.index.json: names the file 'm-3.safetensors', which is not there" },
    { "absent tensor", "{\"weight_map\":{\"a\":\"m-1.safetensors\",\"x\":\"m-1.safetensors\"}}",
      "/model.safetensors.index.json: tensor 'x' is not in m-1.safetensors" },
    { "wrong file", "{\"weight_map\":{\"a\":\"m-2.safetensors\",\"b\":\"m-1.safetensors\"}}",
      "/model.safetensors.index.json: tensor 'a' is said to lie in m-2.safetensors, but lies in m-1.safetensors" },
};

static void an_index_that_lies_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_index / sizeof *bad_index; i++) {
        struct err e = { 0 };
        struct checkpoint c;
        char want[700];
        const char *dir = temp_folder("lies");
        printf("%s\n", bad_index[i].name);
        put_two(dir, bad_index[i].index);
        assert_int_equal(checkpoint_open(dir, &c, &e), -1);
        snprintf(want, sizeof want, "%s%s", dir, bad_index[i].what);
        same_error(&e, ERR_INPUT, want);
        assert_null(c.dir);
    }
}

static void a_tensor_in_two_shards_is_refused(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct checkpoint c;
    char want[700];
    const char *dir = temp_folder("twins");
    put_two(dir, "{\"weight_map\":{\"b\":\"m-2.safetensors\",\"a\":\"m-1.safetensors\"}}");
    write_st(join(dir, "m-2.safetensors"), AB, 19);
    assert_int_equal(checkpoint_open(dir, &c, &e), -1);
    snprintf(want, sizeof want, "%s: tensor 'a' lies in both m-1.safetensors and m-2.safetensors", dir);
    same_error(&e, ERR_INPUT, want);
}

static void folders_without_weights_say_so(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct checkpoint c;
    char want[700];
    const char *dir = temp_folder("none");
    assert_int_equal(checkpoint_open(dir, &c, &e), -1);
    snprintf(want, sizeof want, "%s: found no *.safetensors file", dir);
    same_error(&e, ERR_INPUT, want);
    write_text(join(dir, "pytorch_model.bin"), "");
    memset(&e, 0, sizeof e);
    assert_int_equal(checkpoint_open(dir, &c, &e), -1);
    assert_string_equal(
        e.hint, "pytorch_model.bin is not read; convert the model to safetensors (save_pretrained) first");
    put_two(dir, NULL);
    memset(&e, 0, sizeof e);
    assert_int_equal(checkpoint_open(dir, &c, &e), -1);
    snprintf(
        want, sizeof want,
        "%s: found 2 *.safetensors files, but neither model.safetensors.index.json nor model.safetensors",
        dir);
    same_error(&e, ERR_INPUT, want);
    memset(&e, 0, sizeof e);
    assert_int_equal(checkpoint_open(join(dir, "pytorch_model.bin"), &c, &e), -1);
    snprintf(want, sizeof want,
             "%s/pytorch_model.bin: found a file that is no tar or zip archive, expected one or a folder",
             dir);
    same_error(&e, ERR_INPUT, want);
    memset(&e, 0, sizeof e);
    assert_int_equal(checkpoint_open(join(dir, "nowhere"), &c, &e), -1);
    snprintf(want, sizeof want, "%s/nowhere: no such folder", dir);
    same_error(&e, ERR_INPUT, want);
}

static void rows_are_read_from_odd_addresses(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct checkpoint c;
    float out[6] = { 0 };
    const char *dir = temp_folder("odd");
    for (int pad = 0; pad < 4; pad++) {
        char header[200];
        const uint16_t half[6] = { 0x3C00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600 };
        snprintf(header, sizeof header,
                 "{\"h\":{\"dtype\":\"F16\",\"shape\":[3,2],\"data_offsets\":[0,12]}}%*s", pad, "");
        struct buf b = st_image(header, 12);
        memcpy(b.p + b.len - 12, half, 12);
        write_file(join(dir, "model.safetensors"), b.p, b.len);
        buf_release(&b);
        checkpoint_open(dir, &c, &e);
        c.tensors.read_f32(c.tensors.self, "h", 1, 2, out, &e);
        no_error(&e);
        for (int i = 0; i < 4; i++)
            assert_true(out[i] == (float)(i + 3));
        checkpoint_close(&c);
    }
}

static void reads_out_of_range_are_refused(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct checkpoint c;
    float out[4];
    char want[700];
    struct tensor_view v;
    const char *dir = temp_folder("range");
    write_st(join(dir, "model.safetensors"), AB, 19);
    checkpoint_open(dir, &c, &e);
    no_error(&e);
    assert_int_equal(c.tensors.read_f32(c.tensors.self, "a", 1, 2, out, &e), -1);
    snprintf(want, sizeof want, "%s/model.safetensors: tensor 'a': rows 1 to 3 asked for, it has 2", dir);
    same_error(&e, ERR_INPUT, want);
    memset(&e, 0, sizeof e);
    assert_int_equal(c.tensors.read_f32(c.tensors.self, "b", 0, 1, out, &e), -1);
    snprintf(want, sizeof want, "%s/model.safetensors: tensor 'b' is U8, expected a floating-point dtype",
             dir);
    same_error(&e, ERR_INPUT, want);
    memset(&e, 0, sizeof e);
    assert_int_equal(c.tensors.view(c.tensors.self, "q", &v, &e), -1);
    same_error(&e, ERR_INPUT, "the checkpoint holds no tensor 'q'");
    checkpoint_close(&c);
}

static const struct {
    const char *name, *config;
    enum err_code code;
    const char *what; /* behind the folder's path */
} bad_config[] = {
    { "not JSON", "{", ERR_INPUT, NULL },
    { "a list", "[]", ERR_INPUT, "/config.json: found a list, expected an object" },
    { "no method", "{\"quantization_config\":{}}", ERR_INPUT,
      "/config.json: quantization_config has no 'quant_method'" },
    { "a string", "{\"quantization_config\":\"x\"}", ERR_INPUT,
      "/config.json: key 'quantization_config' is a string, expected an object" },
    { "unbuilt", "{\"quantization_config\":{\"quant_method\":\"gptq\"}}", ERR_UNBUILT,
      ": reading checkpoints quantized by 'gptq' (GPTQ: v1, v2, planar) is not built yet" },
    { "MLX has a key of its own", "{\"quantization\":{\"bits\":4}}", ERR_UNBUILT,
      ": reading checkpoints quantized by 'mlx' (MLX affine, mxfp4, nvfp4, mxfp8) is not built yet" },
    { "unknown", "{\"quantization_config\":{\"quant_method\":\"nobody\"}}", ERR_UNBUILT,
      "/config.json: found quant_method 'nobody', which is not known" },
    { "sparse",
      "{\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"sparsity_config\":{\"format\":\"sparse-24-bitmask\"}}}",
      ERR_UNBUILT,
      "/config.json: sparsity_config 'sparse-24-bitmask' is not built (removed from compressed-tensors too)" },
    { "rotated",
      "{\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"transform_config\":{\"config_groups\":{\"a\":{}}}}}",
      ERR_UNBUILT, "/config.json: transform_config (rotated weights) is not built yet" },
    { "format of nobody",
      "{\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"format\":\"marlin-24\"}}",
      ERR_UNBUILT, "/config.json: compressed-tensors format 'marlin-24' is not read" },
};

static void configs_that_can_not_be_read_say_why(void **state)
{
    (void)state;
    const char *dir = temp_folder("config");
    write_st(join(dir, "model.safetensors"), A, 16);
    for (size_t i = 0; i < sizeof bad_config / sizeof *bad_config; i++) {
        struct err e = { 0 };
        struct checkpoint c;
        char want[700];
        printf("%s\n", bad_config[i].name);
        write_text(join(dir, "config.json"), bad_config[i].config);
        assert_int_equal(checkpoint_open(dir, &c, &e), -1);
        assert_int_equal(e.code, bad_config[i].code);
        snprintf(want, sizeof want, "%s%s", dir, bad_config[i].what ? bad_config[i].what : "");
        if (bad_config[i].what)
            same_error(&e, bad_config[i].code, want);
    }
}

static void a_method_may_have_a_file_of_its_own(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct checkpoint c;
    char want[700];
    const char *dir = temp_folder("method");
    write_st(join(dir, "model.safetensors"), A, 16);
    write_text(join(dir, "config.json"), "{}");
    write_text(join(dir, "hf_quant_config.json"), "{}");
    assert_int_equal(checkpoint_open(dir, &c, &e), -1);
    snprintf(want, sizeof want,
             "%s: reading checkpoints quantized by 'modelopt' (NVIDIA ModelOpt) is not built yet", dir);
    same_error(&e, ERR_UNBUILT, want);
}

static void side_files_are_what_a_copy_needs(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct checkpoint c;
    struct strs names = { 0 };
    const char *dir = temp_folder("side");
    static const char *const files[] = {
        "config.json", "tokenizer.json", "pytorch_model.bin", "model.gguf",    ".gitattributes",
        "merges.txt",  "LICENSE",        "onnx.onnx_data",    "x.safetensors", "pytorch_model.bin.index.json"
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        write_text(join(dir, files[i]), "{}");
    write_st(join(dir, "model.safetensors"), A, 16);
    temp_folder("side/onnx");
    checkpoint_open(dir, &c, &e);
    checkpoint_side_files(&c, &names, &e);
    no_error(&e);
    assert_int_equal(names.n, 3);
    assert_string_equal(names.v[0], "LICENSE");
    assert_string_equal(names.v[1], "merges.txt");
    assert_string_equal(names.v[2], "tokenizer.json");
    strs_release(&names);
    checkpoint_close(&c);
}

static void every_failed_allocation_is_an_error(void **state)
{
    (void)state;
    const char *dir = temp_folder("memory");
    put_two(dir, "{\"weight_map\":{\"b\":\"m-2.safetensors\",\"a\":\"m-1.safetensors\"}}");
    write_text(join(dir, "config.json"), "{\"x\":[1,2]}");
    uint64_t before = mem_use().count, n;
    for (n = 1;; n++) {
        struct err e = { 0 };
        struct checkpoint c;
        struct strs names = { 0 };
        mem_fail_at(n, 0);
        int rc = checkpoint_open(dir, &c, &e) || checkpoint_side_files(&c, &names, &e);
        mem_fail_at(0, 0);
        checkpoint_close(&c);
        strs_release(&names);
        assert_int_equal(mem_use().count, before);
        if (!rc)
            break;
        memory_error(&e);
    }
    assert_true(n > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_are_one_sorted_list),
        cmocka_unit_test(the_index_wins_then_model_then_the_only_file),
        cmocka_unit_test(an_index_that_lies_is_refused),
        cmocka_unit_test(a_tensor_in_two_shards_is_refused),
        cmocka_unit_test(folders_without_weights_say_so),
        cmocka_unit_test(rows_are_read_from_odd_addresses),
        cmocka_unit_test(reads_out_of_range_are_refused),
        cmocka_unit_test(configs_that_can_not_be_read_say_why),
        cmocka_unit_test(a_method_may_have_a_file_of_its_own),
        cmocka_unit_test(side_files_are_what_a_copy_needs),
        cmocka_unit_test(every_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, temp_up, temp_down);
}

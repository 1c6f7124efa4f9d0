/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface misused: every pointer that must not be NULL, every struct without its size, flags
 * that do not exist, indices past the end. Each call gives its code and a sentence that names the
 * parameter, and stores nothing.
 */
#include "check.h"
#include "rig.h"

static lb_context *ref(void)
{
    lb_context *context;
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    desc.device = "ref";
    check_ok(lb_context_create(&desc, &context));
    return context;
}

#define refused(call, part) check_status(call, LB_INVALID_ARGUMENT, part)

Test(misuse, of_devices_and_contexts)
{
    lb_device_info info = LB_DEVICE_INFO_INIT, nothing = {0};
    lb_context *const untouched = (lb_context *)(uintptr_t)0x1234, *context = untouched;
    lb_context_desc desc = {0};
    size_t count = 77;
    refused(lb_devices(&info, 1, NULL), "count is NULL");
    refused(lb_devices(NULL, 1, &count), "infos is NULL");
    refused(lb_devices(&nothing, 1, &count), "struct_size is 0");
    cr_expect_eq(count, 77);
    check_ok(lb_devices(NULL, 0, &count));
    cr_expect_gt(count, 0);
    cr_expect(strstr(lb_backend_note("nonesuch"), "no backend 'nonesuch'"));
    cr_expect(strstr(lb_backend_note(NULL), "no backend '(null)'"));
    cr_expect_str_eq(lb_backend_note("ref"), "");

    refused(lb_context_create(NULL, NULL), "context is NULL");
    refused(lb_context_create(&desc, &context), "struct_size is 0");
    desc = (lb_context_desc)LB_CONTEXT_DESC_INIT;
    desc.flags = 8;
    refused(lb_context_create(&desc, &context), "flags are 0x8");
    desc.flags = 0;
    desc.host_threads = 257;
    refused(lb_context_create(&desc, &context), "host_threads is 257; 0 to 256 are possible");
    desc.host_threads = 0;
    desc.native_context = &desc;
    refused(lb_context_create(&desc, &context), "native_device is NULL");
    desc.native_context = NULL;
    desc.native_device = &desc;
    refused(lb_context_create(&desc, &context), "native_context is NULL");
    desc.native_device = NULL;
    desc.device = "abacus";
    check_status(lb_context_create(&desc, &context), LB_NO_DEVICE,
                 "this library has no backend 'abacus'; there are: auto");
    desc.device = "";
    check_status(lb_context_create(&desc, &context), LB_NO_DEVICE, "no backend ''");
    desc.device = "ref:1";
    check_status(lb_context_create(&desc, &context), LB_NO_DEVICE,
                 "backend ref has 1 device (0 to 0)");
    desc.device = "ref:two";
    check_status(lb_context_create(&desc, &context), LB_NO_DEVICE, "'two' is no device number");
    cr_expect_eq(context, untouched);
    lb_context_destroy(NULL);

    context = ref();
    refused(lb_context_info(NULL, &info), "context is NULL");
    refused(lb_context_info(context, NULL), "info is NULL");
    refused(lb_context_info(context, &nothing), "struct_size is 0");
    lb_context_destroy(context);
    check_ok(lb_context_create(NULL, &context)); /* the best there is */
    lb_context_destroy(context);
}

Test(misuse, of_memory_streams_and_events)
{
    lb_context *context = ref(), *other = ref();
    lb_ptr memory = {0};
    lb_stream stream = NULL;
    lb_event *event = NULL, *theirs = NULL;
    double seconds = -1;
    char byte = 1;
    refused(lb_memory_alloc(NULL, 1, &memory), "context is NULL");
    refused(lb_memory_alloc(context, 1, NULL), "memory is NULL");
    check_status(lb_memory_alloc(context, SIZE_MAX, &memory), LB_OUT_OF_MEMORY,
                 "18446744073709551615");
    cr_expect_null(memory.base);
    check_ok(lb_memory_alloc(context, 0, &memory)); /* something that can be freed */
    cr_expect(memory.base && (uintptr_t)memory.base % 256 == 0);
    refused(lb_memory_write(NULL, memory, &byte, 1, NULL), "context is NULL");
    refused(lb_memory_write(context, (lb_ptr){0}, &byte, 1, NULL), "to.base is NULL");
    refused(lb_memory_write(context, memory, NULL, 1, NULL), "from is NULL");
    check_ok(lb_memory_write(context, (lb_ptr){0}, NULL, 0, NULL));
    refused(lb_memory_read(NULL, &byte, memory, 1, NULL), "context is NULL");
    refused(lb_memory_read(context, NULL, memory, 1, NULL), "to is NULL");
    refused(lb_memory_read(context, &byte, (lb_ptr){0}, 1, NULL), "from.base is NULL");
    check_ok(lb_memory_read(context, NULL, (lb_ptr){0}, 0, NULL));
    lb_memory_free(context, (lb_ptr){0});
    lb_memory_free(NULL, memory);
    lb_memory_free(context, memory);

    refused(lb_stream_create(NULL, 0, &stream), "context is NULL");
    refused(lb_stream_create(context, 0, NULL), "stream is NULL");
    refused(lb_stream_create(context, 6, &stream), "flags 0x6");
    refused(lb_stream_sync(NULL, NULL), "context is NULL");
    check_ok(lb_stream_create(context, LB_STREAM_OUT_OF_ORDER, &stream));
    check_ok(lb_stream_sync(context, stream));
    lb_stream_destroy(context, stream);
    lb_stream_destroy(NULL, NULL);

    refused(lb_event_create(NULL, &event), "context is NULL");
    refused(lb_event_create(context, NULL), "event is NULL");
    check_ok(lb_event_create(context, &event));
    check_ok(lb_event_create(other, &theirs));
    refused(lb_event_record(NULL, NULL), "event is NULL");
    refused(lb_event_elapsed(NULL, event, &seconds), "start is NULL");
    refused(lb_event_elapsed(event, NULL, &seconds), "end is NULL");
    refused(lb_event_elapsed(event, event, NULL), "seconds is NULL");
    refused(lb_event_elapsed(event, theirs, &seconds), "different contexts");
    cr_expect_eq(seconds, -1);
    lb_event_destroy(event);
    lb_event_destroy(theirs);
    lb_event_destroy(NULL);
    lb_context_destroy(other);
    lb_context_destroy(context);
}

Test(misuse, of_what_tells_about_kernels)
{
    lb_context *context = ref();
    lb_kernel_info info = LB_KERNEL_INFO_INIT, nothing = {0};
    lb_ceilings ceilings = LB_CEILINGS_INIT;
    cr_expect_eq(lb_kernel_count(NULL), 0);
    size_t count = lb_kernel_count(context);
    refused(lb_kernel_get_info(NULL, 0, &info), "context is NULL");
    refused(lb_kernel_get_info(context, 0, NULL), "info is NULL");
    refused(lb_kernel_get_info(context, 0, &nothing), "struct_size is 0");
    refused(lb_kernel_get_info(context, count, &info), "there are 1 kernels");
    cr_expect_null(info.name);
    check_ok(lb_kernel_get_info(context, 0, &info));
    cr_expect_str_eq(info.name, "ref_any");
    refused(lb_measure_ceilings(NULL, &ceilings), "context is NULL");
    refused(lb_measure_ceilings(context, NULL), "ceilings is NULL");
    lb_context_destroy(context);
}

Test(misuse, of_formats_and_files)
{
    lb_stored stored = LB_STORED_INIT, to = LB_STORED_INIT;
    lb_format_info format = LB_FORMAT_INFO_INIT;
    lb_tensor_info tensor = LB_TENSOR_INFO_INIT;
    lb_file *file = NULL;
    float value;
    int32_t count = -7;
    refused(lb_format_get_info(lb_format_count(), &format), "format");
    refused(lb_format_get_info(0, NULL), "NULL");
    refused(lb_stored_sizes(NULL), "NULL");
    refused(lb_stored_sizes(&stored), "format");
    stored.format = "nonesuch";
    refused(lb_stored_sizes(&stored), "nonesuch");
    stored.format = "gptq";
    refused(lb_stored_values(&stored, 0, 1, &value), "");
    refused(lb_stored_like(NULL, 0, &to), "NULL");
    refused(lb_repack(NULL, &to, 0, NULL), "NULL");
    refused(lb_stored_terms(NULL, &count), "NULL");
    cr_expect_eq(count, -7);
    refused(lb_file_open(NULL, &file), "NULL");
    refused(lb_file_open("/no/such/file.gguf", &file), "/no/such/file.gguf");
    cr_expect_null(file);
    refused(lb_file_get_tensor(NULL, 0, &tensor), "there are 0 tensors");
    lb_file_close(NULL);
}

// A service as its owner would write it, with the OpenTelemetry SDK for Node: it serves requests, counts them and logs.
//
// Sends traces, metrics and logs by OTLP/HTTP and prints every record that was exported as one line of JSON, as the SDK has it, for
// the test to compare with the tables; whole numbers that a double cannot hold are strings. Fails when an export fails. Requests lie in
// the past minute, so that a verdict needs no waiting. Finds its packages by NODE_PATH.
"use strict";

const { parseArgs } = require("node:util");
const api = require("@opentelemetry/api");
const { SeverityNumber } = require("@opentelemetry/api-logs");
const { AggregationTemporalityPreference } = require("@opentelemetry/exporter-metrics-otlp-http");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BatchLogRecordProcessor, LoggerProvider } = require("@opentelemetry/sdk-logs");
const metricsSdk = require("@opentelemetry/sdk-metrics");
const { BasicTracerProvider, BatchSpanProcessor } = require("@opentelemetry/sdk-trace-base");

const { AggregationTemporality, AggregationType, DataPointType, MeterProvider, PeriodicExportingMetricReader } = metricsSdk;
const SCHEMA = "https://opentelemetry.io/schemas/1.30.0";
const KINDS = ["INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
const STATUS = ["UNSET", "OK", "ERROR"];
const POINTS = {
    [DataPointType.SUM]: "sum",
    [DataPointType.GAUGE]: "gauge",
    [DataPointType.HISTOGRAM]: "histogram",
    [DataPointType.EXPONENTIAL_HISTOGRAM]: "exponential_histogram",
};

const nanos = ([seconds, nanoseconds]) => String(BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds));
const time = (at) => [Number(at / 1_000_000_000n), Number(at % 1_000_000_000n)];

/** A value as JSON; bytes are marked. */
function plain(value) {
    if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("base64") };
    if (Array.isArray(value)) return value.map(plain);
    if (value !== null && typeof value === "object") {
        return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
    }
    return value ?? null;
}

function show(signal, attributes, resource, scope, fields) {
    const line = {
        ...fields,
        signal,
        attributes: plain(attributes ?? {}),
        resource_attributes: plain(resource.attributes),
        resource_schema_url: resource.schemaUrl ?? null,
        scope_name: scope.name,
        scope_version: scope.version ?? null,
        scope_schema_url: scope.schemaUrl ?? null,
        scope_attributes: plain(scope.attributes ?? {}),
    };
    process.stdout.write(JSON.stringify(line) + "\n");
}

/** Passes everything on to `inner`; what was exported goes to `print`, a failure ends the program. */
function recording(inner, print) {
    const own = {
        export(batch, done) {
            inner.export(batch, (result) => {
                if (result.code !== 0) {
                    console.error("an export failed:", result.error);
                    process.exit(1);
                }
                print(batch);
                done(result);
            });
        },
    };
    const passed = (value, target) => (typeof value === "function" ? value.bind(target) : value);
    return new Proxy(inner, { get: (target, key) => own[key] ?? passed(target[key], target) });
}

function printSpans(spans) {
    for (const span of spans) {
        const context = span.spanContext();
        show("span", span.attributes, span.resource, span.instrumentationScope, {
            trace_id: context.traceId,
            span_id: context.spanId,
            parent_span_id: span.parentSpanContext?.spanId ?? null,
            trace_state: context.traceState?.serialize() ?? "",
            name: span.name,
            kind: KINDS[span.kind],
            status_code: STATUS[span.status.code],
            status_message: span.status.message ?? null,
            start_time_unix_nano: nanos(span.startTime),
            end_time_unix_nano: nanos(span.endTime),
            events: span.events.map((event) => ({
                name: event.name,
                time_unix_nano: nanos(event.time),
                attributes: plain(event.attributes ?? {}),
            })),
            links: span.links.map((link) => ({
                trace_id: link.context.traceId,
                span_id: link.context.spanId,
                trace_state: link.context.traceState?.serialize() ?? "",
                attributes: plain(link.attributes ?? {}),
            })),
        });
    }
}

function printLogs(records) {
    for (const record of records) {
        show("log", record.attributes, record.resource, record.instrumentationScope, {
            time_unix_nano: nanos(record.hrTime),
            observed_time_unix_nano: nanos(record.hrTimeObserved),
            severity_number: record.severityNumber ?? null,
            severity_text: record.severityText ?? null,
            body: plain(record.body),
            event_name: record.eventName ?? null,
            trace_id: record.spanContext?.traceId ?? null,
            span_id: record.spanContext?.spanId ?? null,
        });
    }
}

function printMetrics({ resource, scopeMetrics }) {
    for (const { scope, metrics } of scopeMetrics) {
        for (const metric of metrics) {
            for (const point of metric.dataPoints) {
                show("metric", point.attributes, resource, scope, {
                    metric_name: metric.descriptor.name,
                    metric_type: POINTS[metric.dataPointType],
                    unit: metric.descriptor.unit,
                    description: metric.descriptor.description,
                    time_unix_nano: nanos(point.endTime),
                    start_time_unix_nano: nanos(point.startTime),
                    exemplars: [],
                    ...pointFields(metric, point.value),
                });
            }
        }
    }
}

function pointFields(metric, value) {
    const temporality = metric.aggregationTemporality === AggregationTemporality.DELTA ? "delta" : "cumulative";
    const number = () => ({ [metric.descriptor.valueType === api.ValueType.INT ? "value_int" : "value_double"]: value });
    const spread = () => ({ temporality, count: value.count, sum: value.sum, min: value.min, max: value.max });
    switch (metric.dataPointType) {
        case DataPointType.SUM:
            return { ...number(), temporality, is_monotonic: metric.isMonotonic };
        case DataPointType.GAUGE:
            return number();
        case DataPointType.HISTOGRAM:
            return { ...spread(), explicit_bounds: value.buckets.boundaries, bucket_counts: value.buckets.counts };
        default:
            return {
                ...spread(),
                scale: value.scale,
                zero_count: value.zeroCount,
                positive_offset: value.positive.offset,
                positive_bucket_counts: value.positive.bucketCounts,
                negative_offset: value.negative.offset,
                negative_bucket_counts: value.negative.bucketCounts,
            };
    }
}

function exporters({ protocol, endpoint, compression, temporality }) {
    const kind = protocol === "http/json" ? "http" : "proto";
    const load = (signal) => require(`@opentelemetry/exporter-${signal}-otlp-${kind}`);
    const at = (path) => ({ url: `${endpoint}/v1/${path}`, compression });
    const { OTLPMetricExporter } = load("metrics");
    const preference = temporality === "delta" ? AggregationTemporalityPreference.DELTA : AggregationTemporalityPreference.CUMULATIVE;
    return {
        spans: recording(new (load("trace").OTLPTraceExporter)(at("traces")), printSpans),
        logs: recording(new (load("logs").OTLPLogExporter)(at("logs")), printLogs),
        metrics: recording(new OTLPMetricExporter({ ...at("metrics"), temporalityPreference: preference }), printMetrics),
    };
}

/** The same sequence for the same seed (mulberry32). */
function chances(seed) {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let mixed = Math.imul(state ^ (state >>> 15), state | 1);
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
        return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
}

const everyType = () => ({
    text: 'grüße, "welt"\n',
    empty: "",
    yes: true,
    no: false,
    int: -(2 ** 53) + 1,
    float: 0.1,
    texts: ["a", "b,c", ""],
    bools: [true, false],
    ints: [1, -2, 2 ** 40],
    // The SDK sends every whole number as an integer, also one that is too large for OTLP.
    floats: [1.5, -0.25, 1e-300],
});

/** The span of another service that called, with the state that it passed on. */
const caller = (number) => ({
    traceId: `00f7651916cd43dd8448eb211c8${String(number).padStart(5, "0")}`,
    spanId: "b7ad6b7169203331",
    traceFlags: api.TraceFlags.SAMPLED,
    isRemote: true,
    traceState: api.createTraceState("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
});

/** Handles orders; the longer ago a request, the earlier it was handled. */
class Service {
    constructor(tracer, meter, logger, options) {
        Object.assign(this, { tracer, logger, options });
        this.chance = chances(Number(options.seed));
        const whole = { valueType: api.ValueType.INT };
        this.served = meter.createCounter("orders.served", { ...whole, unit: "{order}", description: "Orders that were handled" });
        this.open = meter.createUpDownCounter("orders.open", { ...whole, unit: "{order}" });
        this.amount = meter.createHistogram("order.amount", { unit: "EUR", advice: { explicitBucketBoundaries: [10, 50, 100.5] } });
        this.duration = meter.createHistogram("order.duration", { unit: "s", description: "How long an order took" });
        this.level = meter.createGauge("stock.level", { unit: "1" });
        meter.createObservableGauge("worker.busy").addCallback((result) => result.observe(0.75, { pool: "main" }));
        meter.createObservableCounter("bytes.read", { ...whole, unit: "By" }).addCallback((result) => result.observe(2 ** 40, { disk: "sda" }));
    }

    serve(number, at) {
        const { failures } = this.options;
        const failed = failures > 0 && number % failures === 0;
        const took = BigInt(Math.round((8 + 12 * this.chance()) * 1e6));
        const above = number < 3 ? api.trace.setSpanContext(api.ROOT_CONTEXT, caller(number)) : api.ROOT_CONTEXT;
        const attributes = {
            "http.request.method": "POST",
            "http.route": "/orders/{id}",
            "url.path": `/orders/${number}`,
            "http.response.status_code": failed ? 500 : 201,
            ...(failed ? { "error.type": "OutOfStock" } : {}),
            ...(number < 3 ? everyType() : {}),
        };
        const root = this.tracer.startSpan("POST /orders/{id}", { kind: api.SpanKind.SERVER, startTime: time(at), attributes }, above);
        const context = api.trace.setSpan(above, root);
        if (number < 3) this.inside(root, context, at, took);
        this.measure(number, failed, took);
        if (failed) this.fail(root, context, number, at + took);
        else if (number < 20) {
            const body = `order ${number} is placed`;
            this.logger.emit({ timestamp: time(at + took), severityNumber: SeverityNumber.INFO, severityText: "INFO", body, context });
        }
        root.end(time(at + took));
    }

    /** A child with events and a grandchild that calls out, under names of older conventions. */
    inside(root, context, at, took) {
        root.addEvent("queued", { position: 3, who: ["a", "b"] }, time(at + 1n));
        const child = this.tracer.startSpan("reserve", { startTime: time(at + 10n) }, context);
        const elsewhere = {
            traceId: "0af7651916cd43dd8448eb211c80319c",
            spanId: "b7ad6b7169203331",
            traceFlags: api.TraceFlags.SAMPLED,
            traceState: api.createTraceState("congo=t61rcWkgMzE"),
        };
        const grandchild = this.tracer.startSpan(
            "GET stock",
            {
                kind: api.SpanKind.CLIENT,
                startTime: time(at + 20n),
                links: [{ context: elsewhere, attributes: { reason: "batch", size: 2 } }],
                attributes: { "http.method": "GET", "http.status_code": 200, "net.peer.name": "stock.local", "db.system": "postgresql" },
            },
            api.trace.setSpan(context, child),
        );
        grandchild.setStatus({ code: api.SpanStatusCode.OK });
        grandchild.end(time(at + took / 2n));
        child.end(time(at + took / 2n + 5n));
    }

    fail(root, context, number, at) {
        const error = new RangeError(`no stock for order ${number}`);
        root.recordException(error, time(at));
        root.setStatus({ code: api.SpanStatusCode.ERROR, message: error.message });
        this.logger.emit({
            timestamp: time(at),
            severityNumber: SeverityNumber.ERROR,
            severityText: "ERROR",
            body: `order ${number} failed`,
            attributes: { "exception.type": error.name, "exception.message": error.message, order: number },
            context,
        });
    }

    measure(number, failed, took) {
        const labels = { outcome: failed ? "failed" : "placed" };
        this.served.add(1, labels);
        this.open.add(2, { queue: "main", shard: 1 });
        this.open.add(-1, { queue: "main", shard: 1 });
        this.amount.record(1 + 199 * this.chance(), labels);
        this.duration.record(Number(took) / 1e9, labels);
        this.level.record(this.chance() - 0.5, { shelf: "left" });
    }

    /** Logs of every form, outside of a trace. */
    speak() {
        this.logger.emit({
            severityNumber: SeverityNumber.WARN2,
            severityText: "warning",
            body: { stock: { left: 3, shelves: [1, "two", null, 2.5] }, raw: new Uint8Array([0, 255]), ok: true },
            attributes: { raw: new Uint8Array([1, 2]), nested: { a: [1, { b: "c" }] }, ...everyType() },
            eventName: "stock.low",
        });
        this.logger.emit({ body: 42, severityNumber: SeverityNumber.TRACE });
        this.logger.emit({ body: ["a", 1, false], severityNumber: SeverityNumber.FATAL4, severityText: "fatal" });
        this.logger.emit({ body: new Uint8Array([0xde, 0xad, 0xbe, 0xef]) });
        this.logger.emit({ body: 2.5 });
    }
}

function parse() {
    const text = (fallback) => ({ type: "string", default: fallback });
    const options = {
        protocol: text("http/json"), // or http/protobuf
        endpoint: text(), // http://host:port
        compression: text("none"), // or gzip
        temporality: text("cumulative"), // or delta
        service: text(),
        environment: text(),
        version: text(),
        requests: text("200"),
        failures: text("0"), // every n-th request fails; 0 for none
        // of the minute, in Unix nanoseconds; 100 s ago if not given
        start: text(""),
        seed: text("1"),
    };
    return parseArgs({ options }).values;
}

async function main() {
    const options = parse();
    const resource = resourceFromAttributes(
        {
            "service.name": options.service,
            "service.namespace": "shop",
            "service.version": options.version,
            "service.instance.id": `${options.service}-${options.version}-0`,
            "deployment.environment.name": options.environment,
            "host.name": "host-a",
            "telemetry.sdk.language": "nodejs",
            replicas: 3,
            zones: ["a", "b"],
        },
        { schemaUrl: SCHEMA },
    );
    const { spans, logs, metrics } = exporters(options);
    const traces = new BasicTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(spans)] });
    const logging = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter: logs })] });
    const meters = new MeterProvider({
        resource,
        readers: [new PeriodicExportingMetricReader({ exporter: metrics, exportIntervalMillis: 600_000 })],
        views: [
            { instrumentName: "order.duration", aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM, options: { maxSize: 20 } } },
        ],
    });
    const service = new Service(
        traces.getTracer("orders", "2.1", { schemaUrl: SCHEMA }),
        meters.getMeter("orders.meter", "2.1", { schemaUrl: SCHEMA }),
        logging.getLogger("orders.log", "2.1", { schemaUrl: SCHEMA }),
        options,
    );
    const requests = Number(options.requests);
    const start = options.start ? BigInt(options.start) : BigInt(Date.now()) * 1_000_000n - 100_000_000_000n;
    for (let number = 0; number < requests; number++) {
        service.serve(number, start + (60_000_000_000n * BigInt(number)) / BigInt(requests));
    }
    service.speak();
    for (const provider of [traces, logging, meters]) await provider.shutdown();
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});

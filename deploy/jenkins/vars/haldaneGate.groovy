// A step of a Jenkins shared library: waits for Haldane's decision and fails the build unless the deploy may go on.
// Put it under vars/ of the library; the agent needs haldane on its PATH and sh. Credentials Binding is needed for a token.
//
//   def decision = haldaneGate(
//       url: 'https://haldane.example.com', credentialsId: 'haldane-token',
//       service: 'checkout', environment: 'production',
//       baseline: 'service.version=1.4.0', canary: 'service.version=1.5.0',
//       wait: '30m', failOn: ['rollback', 'inconclusive', 'undecided'])
//
// Only url, service, baseline and canary have to be there. Returns promote, rollback, inconclusive or undecided.
def call(Map options) {
    for (name in ['url', 'service', 'baseline', 'canary']) {
        if (!options[name]) {
            error("haldaneGate: ${name} is missing")
        }
    }
    def known = ['url', 'credentialsId', 'service', 'environment', 'baseline', 'canary', 'wait', 'policy', 'failOn']
    def unknown = options.keySet().findAll { !known.contains(it.toString()) }
    if (unknown) {
        error("haldaneGate: there is no option ${unknown.join(', ')}")
    }
    def failOn = options.containsKey('failOn') ? options.failOn : ['rollback', 'inconclusive', 'undecided']

    // Options become variables: what they hold is never read as code.
    def variables = [
        "HALDANE_URL=${options.url}",
        "GATE_SERVICE=${options.service}",
        "GATE_ENVIRONMENT=${options.environment ?: 'default'}",
        "GATE_BASELINE=${options.baseline}",
        "GATE_CANARY=${options.canary}",
        "GATE_WAIT=${options.wait ?: '30m'}",
        "GATE_POLICY=${options.policy ?: ''}",
    ]
    def code = 2
    def gate = {
        withEnv(variables) {
            code = sh(label: 'haldane gate', returnStatus: true, script: '''
                command -v haldane >/dev/null || { echo "there is no program haldane on the PATH" >&2; exit 2; }
                set -- "--service=$GATE_SERVICE" "--environment=$GATE_ENVIRONMENT" "--baseline=$GATE_BASELINE" "--canary=$GATE_CANARY" \\
                    "--wait=$GATE_WAIT" "--meta=run=${BUILD_URL:-unknown}"
                if [ -n "${GIT_COMMIT:-}" ]; then set -- "$@" "--meta=commit=$GIT_COMMIT"; fi
                if [ -n "$GATE_POLICY" ]; then set -- "$@" "--policy=$GATE_POLICY"; fi
                exec haldane gate "$@"
            '''.stripIndent())
        }
    }
    if (options.credentialsId) {
        withCredentials([string(credentialsId: options.credentialsId, variable: 'HALDANE_TOKEN')]) {
            gate()
        }
    } else {
        gate()
    }

    def decision = [0: 'promote', 1: 'rollback', 3: 'inconclusive', 4: 'undecided'][code]
    if (decision == null) {
        error("haldaneGate: Haldane could not be asked, haldane gate ended with ${code}")
    }
    if (failOn.contains(decision)) {
        error("haldaneGate: ${decision}")
    }
    return decision
}

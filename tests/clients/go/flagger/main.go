// Command flagger asks a Haldane server as Flagger does: with Flagger's own code, on a canary and a metric template as they are committed.
//
//	flagger hooks [-types TYPE,...] [-phase PHASE] [-revision TEXT] SERVER CANARY [NAME=VALUE...]
//	flagger metric [-token TOKEN] SERVER TEMPLATE [NAME=VALUE...]
//
// SERVER takes the place of the address in the file, NAME=VALUE of metadata of the hooks or of variables of the query. hooks calls those of these
// types, in the order of the file, in a phase and with a checksum made of the revision, and prints for each one a line of JSON; passed is
// what Flagger takes it for (of rollback: roll back now). metric prints whether the provider is online, and what it answers.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	flaggerv1 "github.com/fluxcd/flagger/pkg/apis/flagger/v1beta1"
	"github.com/fluxcd/flagger/pkg/controller"
	"github.com/fluxcd/flagger/pkg/metrics/observers"
	"github.com/fluxcd/flagger/pkg/metrics/providers"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// The address in the committed files.
const address = "http://haldane.haldane.svc:4380"

func main() {
	acts := map[string]func([]string) error{"hooks": hooks, "metric": metric}
	act := acts[append(os.Args, "")[1]]
	if act == nil {
		fmt.Fprintln(os.Stderr, "usage: flagger hooks|metric [FLAGS] SERVER FILE [NAME=VALUE...]")
		os.Exit(2)
	}
	if err := act(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "flagger:", err)
		os.Exit(1)
	}
}

func hooks(words []string) error {
	flags := flag.NewFlagSet("hooks", flag.ExitOnError)
	types := flags.String("types", "", "the types of hooks to call; all of them, if none are given")
	phase := flags.String("phase", string(flaggerv1.CanaryPhaseProgressing), "where the canary stands")
	revision := flags.String("revision", "1", "what is rolled out")
	flags.Parse(words)
	var canary flaggerv1.Canary
	changed, err := read(flags.Args(), &canary)
	if err != nil {
		return err
	}
	canary.Status.Phase = flaggerv1.CanaryPhase(*phase)
	canary.Status.LastAppliedSpec = *revision
	for _, hook := range canary.GetAnalysis().Webhooks {
		if *types != "" && !slices.Contains(strings.Split(*types, ","), string(hook.Type)) {
			continue
		}
		for name, value := range changed {
			(*hook.Metadata)[name] = value
		}
		err := call(canary, hook)
		said := ""
		if err != nil {
			said = err.Error()
		}
		if err := say(map[string]any{"type": hook.Type, "name": hook.Name, "passed": err == nil, "said": said}); err != nil {
			return err
		}
	}
	return nil
}

// call is what the controller does, with the phase that it says to a hook of this type.
func call(canary flaggerv1.Canary, hook flaggerv1.CanaryWebhook) error {
	switch hook.Type {
	case flaggerv1.EventHook:
		return controller.CallEventWebhook(&canary, hook, "Starting canary analysis for podinfo.test", corev1.EventTypeNormal)
	case flaggerv1.ConfirmRolloutHook, flaggerv1.RollbackHook, flaggerv1.PostRolloutHook:
		return controller.CallWebhook(canary, canary.Status.Phase, hook)
	default:
		return controller.CallWebhook(canary, flaggerv1.CanaryPhaseProgressing, hook)
	}
}

func metric(words []string) error {
	flags := flag.NewFlagSet("metric", flag.ExitOnError)
	token := flags.String("token", "", "a bearer token, as from the template's secret")
	flags.Parse(words)
	var template flaggerv1.MetricTemplate
	variables, err := read(flags.Args(), &template)
	if err != nil {
		return err
	}
	credentials := map[string][]byte{}
	if *token != "" {
		template.Spec.Provider.SecretRef = &corev1.LocalObjectReference{Name: "haldane"}
		credentials["token"] = []byte(*token)
	}
	query, err := observers.RenderQuery(template.Spec.Query, flaggerv1.MetricTemplateModel{Interval: "1m", Variables: variables})
	if err != nil {
		return err
	}
	provider, err := providers.Factory{}.Provider("1m", template.Spec.Provider, credentials, nil)
	if err != nil {
		return err
	}
	online, err := provider.IsOnline()
	if err != nil {
		return say(map[string]any{"online": online, "error": err.Error()})
	}
	value, err := provider.RunQuery(query)
	if err != nil {
		return say(map[string]any{"online": online, "query": query, "error": err.Error()})
	}
	return say(map[string]any{"online": online, "query": query, "value": value})
}

// read is SERVER FILE [NAME=VALUE...].
func read(words []string, into any) (map[string]string, error) {
	if len(words) < 2 {
		return nil, fmt.Errorf("a server and a file are needed")
	}
	text, err := os.ReadFile(words[1])
	if err != nil {
		return nil, err
	}
	if err := yaml.UnmarshalStrict([]byte(strings.ReplaceAll(string(text), address, words[0])), into); err != nil {
		return nil, fmt.Errorf("%s: %w", words[1], err)
	}
	given := map[string]string{}
	for _, word := range words[2:] {
		name, value, _ := strings.Cut(word, "=")
		given[name] = value
	}
	return given, nil
}

func say(line map[string]any) error {
	return json.NewEncoder(os.Stdout).Encode(line)
}

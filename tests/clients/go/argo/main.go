// Command argo asks a Haldane server as Argo Rollouts does: with Argo's own metric providers, on an analysis template as it is committed.
//
//	argo [-age DURATION] SERVER TEMPLATE [NAME=VALUE...]
//
// SERVER takes the place of the address in the template, NAME=VALUE are the arguments that a Rollout would give, DURATION is how long ago the
// analysis began. Takes one measurement and prints it as a line of JSON; one that is not complete at once is resumed until it is.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/argoproj/argo-rollouts/metric"
	"github.com/argoproj/argo-rollouts/metricproviders/kayenta"
	"github.com/argoproj/argo-rollouts/metricproviders/webmetric"
	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	query "github.com/argoproj/argo-rollouts/utils/template"
	"github.com/sirupsen/logrus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// The address in the committed templates.
const address = "http://haldane.haldane.svc:4380"

// Argo waits 15 s; the answer does not depend on it.
const (
	resumeEvery = 500 * time.Millisecond
	resumeMost  = 60
)

func main() {
	age := flag.Duration("age", 0, "how long ago the analysis began")
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: argo [-age DURATION] SERVER TEMPLATE [NAME=VALUE...]")
		os.Exit(2)
	}
	measurement, err := measure(flag.Arg(0), flag.Arg(1), flag.Args()[2:], *age)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(measurement)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "argo:", err)
		os.Exit(1)
	}
}

func measure(server, file string, words []string, age time.Duration) (*v1alpha1.Measurement, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var analysis v1alpha1.AnalysisTemplate
	if err := yaml.UnmarshalStrict([]byte(strings.ReplaceAll(string(text), address, server)), &analysis); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(analysis.Spec.Metrics) != 1 {
		return nil, fmt.Errorf("%s has %d metrics, not one", file, len(analysis.Spec.Metrics))
	}
	arguments, err := merged(analysis.Spec.Args, words)
	if err != nil {
		return nil, err
	}
	asked, err := resolved(analysis.Spec.Metrics[0], arguments)
	if err != nil {
		return nil, err
	}
	provider, err := providerOf(*asked)
	if err != nil {
		return nil, err
	}
	began := metav1.NewTime(time.Now().Add(-age))
	run := &v1alpha1.AnalysisRun{Status: v1alpha1.AnalysisRunStatus{StartedAt: &began}}
	measurement := provider.Run(run, *asked)
	for tries := 0; !measurement.Phase.Completed() && tries < resumeMost; tries++ {
		time.Sleep(resumeEvery)
		measurement = provider.Resume(run, *asked, measurement)
	}
	return &measurement, nil
}

// merged are the template's arguments with the values of NAME=VALUE. Argo's own function for it, like the one for [resolved], drags in all of Kubernetes.
func merged(arguments []v1alpha1.Argument, words []string) ([]v1alpha1.Argument, error) {
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		known := false
		for at := range arguments {
			if arguments[at].Name == name {
				arguments[at].Value, known = &value, true
			}
		}
		if !known {
			return nil, fmt.Errorf("the template has no argument %q", name)
		}
	}
	return arguments, nil
}

func resolved(metric v1alpha1.Metric, arguments []v1alpha1.Argument) (*v1alpha1.Metric, error) {
	text, err := json.Marshal(metric)
	if err != nil {
		return nil, err
	}
	filled, err := query.ResolveQuotedArgs(string(text), arguments)
	if err != nil {
		return nil, err
	}
	var resolved v1alpha1.Metric
	return &resolved, json.Unmarshal([]byte(filled), &resolved)
}

func providerOf(asked v1alpha1.Metric) (metric.Provider, error) {
	log := *logrus.NewEntry(logrus.StandardLogger())
	if asked.Provider.Kayenta != nil {
		return kayenta.NewKayentaProvider(log, kayenta.NewHttpClient()), nil
	}
	if asked.Provider.Web == nil {
		return nil, fmt.Errorf("the metric %s has neither a web nor a Kayenta provider", asked.Name)
	}
	client, err := webmetric.NewWebMetricHttpClient(asked)
	if err != nil {
		return nil, err
	}
	parser, err := webmetric.NewWebMetricJsonParser(asked)
	if err != nil {
		return nil, err
	}
	return webmetric.NewWebMetricProvider(log, client, parser), nil
}

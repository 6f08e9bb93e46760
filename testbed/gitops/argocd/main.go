// Command argocd-engine syncs as Argo CD's application controller does, with Argo CD's own engine, and without the rest of
// Argo CD: no Git, no Application objects, no user interface. A test tells it over HTTP on loopback what a commit contains,
// and asks what a person would see.
//
// The engine has an agent of its own, which says nothing of a sync before it has ended, and runs no health scripts.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"sync"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/cache"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2/textlogger"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "credentials of the engine")
	listen := flag.String("listen", "127.0.0.1:0", "address of the API of the tests")
	configMap := flag.String("argocd-cm", "", "file with the ConfigMap argocd-cm")
	flag.Parse()
	if err := run(*kubeconfig, *listen, *configMap); err != nil {
		log.Fatal(err)
	}
}

func run(kubeconfig, listen, configMap string) error {
	scripts, err := readScripts(configMap)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	// A test's engine waits for conditions, not for its own rate limit.
	config.QPS, config.Burst = 500, 1000
	logger := textlogger.NewLogger(textlogger.NewConfig())
	shared := &cluster{
		config:  config,
		kubectl: &kube.KubectlCmd{Log: logger, Tracer: tracing.NopTracer{}},
		health:  scripts,
		log:     logger,
	}
	shared.cache = cache.NewClusterCache(config,
		cache.SetLogr(logger),
		cache.SetSettings(cache.Settings{ResourceHealthOverride: scripts, ResourcesFilter: everything{}}),
		cache.SetPopulateResourceInfoHandler(func(object *unstructured.Unstructured, _ bool) (any, bool) {
			id := object.GetAnnotations()[tracking]
			return id, id != ""
		}),
	)
	if err := shared.cache.EnsureSynced(); err != nil {
		return err
	}
	return http.ListenAndServe(listen, routes(shared))
}

// everything excludes no kind of object from what the engine watches.
type everything struct{}

// IsExcludedResource says whether the engine should not watch a kind.
func (everything) IsExcludedResource(_, _, _ string) bool { return false }

// routes is the API of the tests.
func routes(shared *cluster) http.Handler {
	var lock sync.Mutex
	applications := map[string]*application{}
	find := func(request *http.Request) *application {
		lock.Lock()
		defer lock.Unlock()
		name := request.PathValue("name")
		if applications[name] == nil {
			applications[name] = &application{name: name, cluster: shared}
		}
		return applications[name]
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	routes.HandleFunc("GET /applications/{name}", func(answer http.ResponseWriter, request *http.Request) {
		seen, err := find(request).view()
		reply(answer, seen, err)
	})
	routes.HandleFunc("POST /applications/{name}/sync", func(answer http.ResponseWriter, request *http.Request) {
		var to commit
		err := json.NewDecoder(request.Body).Decode(&to)
		if err == nil {
			err = find(request).start(to)
		}
		reply(answer, nil, err)
	})
	routes.HandleFunc("POST /applications/{name}/approve", func(_ http.ResponseWriter, request *http.Request) {
		find(request).approve()
	})
	routes.HandleFunc("POST /health", func(answer http.ResponseWriter, request *http.Request) {
		object := &unstructured.Unstructured{}
		var verdict *health.HealthStatus
		err := json.NewDecoder(request.Body).Decode(object)
		if err == nil {
			verdict, err = health.GetResourceHealth(object, shared.health)
		}
		reply(answer, verdict, err)
	})
	return routes
}

func reply(answer http.ResponseWriter, value any, err error) {
	if err != nil {
		http.Error(answer, err.Error(), http.StatusConflict)
		return
	}
	answer.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(answer).Encode(value); err != nil {
		log.Print(err)
	}
}

package main

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/cache"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	engine "github.com/argoproj/argo-cd/gitops-engine/pkg/sync"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync/common"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

const (
	// The annotation by which Argo CD 3 knows the objects of an Application.
	tracking = "argocd.argoproj.io/tracking-id"
	// The field manager of Argo CD's server-side apply.
	manager = "argocd-controller"
	// Objects without a namespace go there.
	namespace = "default"
	// How often a running sync goes on at the latest.
	refresh = 200 * time.Millisecond
)

// cluster is what all Applications share.
type cluster struct {
	config  *rest.Config
	cache   cache.ClusterCache
	kubectl kube.Kubectl
	health  scripts
	log     logr.Logger
}

// commit is what an Application should be synced to.
type commit struct {
	// The manifests of the commit, in YAML.
	Manifests string `json:"manifests"`
	// The Application's syncOptions.
	Options []string `json:"options"`
	// Whether the sync prunes.
	Prune bool `json:"prune"`
	// Whether the sync uses force (`argocd app sync --force`).
	Force bool `json:"force"`
}

// result is what Argo CD shows of one object of a sync.
type result struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Status  string `json:"status"`
	Phase   string `json:"phase"`
	Message string `json:"message"`
}

// objectHealth is what Argo CD shows of one live object.
type objectHealth struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// The version of the object that the engine knows.
	Version string `json:"version"`
	Status  string `json:"status"`
	Message string `json:"message"`
}

// view is what Argo CD shows of an Application.
type view struct {
	Phase     string         `json:"phase"`
	Message   string         `json:"message"`
	Resources []result       `json:"resources"`
	Health    string         `json:"health"`
	Objects   []objectHealth `json:"objects"`
}

// application is the state that Argo CD keeps in an Application's status, and its one operation.
type application struct {
	name    string
	cluster *cluster

	lock      sync.Mutex
	commit    commit
	started   metav1.Time
	approved  time.Time
	phase     common.OperationPhase
	message   string
	resources []common.ResourceSyncResult
}

// start begins a sync. Argo CD has one operation of an Application at a time.
func (a *application) start(to commit) error {
	a.lock.Lock()
	defer a.lock.Unlock()
	if a.phase.Running() {
		return fmt.Errorf("another operation is already in progress")
	}
	a.commit, a.started, a.resources = to, metav1.Now(), nil
	a.phase, a.message = common.OperationRunning, ""
	go a.operate()
	return nil
}

// approve is the annotation `argocd.argoproj.io/deletion-approved` on the Application, or the button.
func (a *application) approve() {
	a.lock.Lock()
	defer a.lock.Unlock()
	a.approved = time.Now()
}

// operate goes on with the operation until it has completed.
func (a *application) operate() {
	for {
		a.lock.Lock()
		err := a.step()
		if err != nil {
			a.phase, a.message = common.OperationError, err.Error()
		}
		completed := a.phase.Completed()
		a.lock.Unlock()
		if completed {
			return
		}
		time.Sleep(refresh)
	}
}

// step does what Argo CD's controller does each time that it processes a running operation: it compares anew, and hands the
// engine the state that it keeps.
func (a *application) step() error {
	target, live, err := a.objects()
	if err != nil {
		return err
	}
	reconciled := engine.Reconcile(target, live, namespace, a.cluster.cache)
	differences, err := diff.DiffArray(reconciled.Target, reconciled.Live, diff.WithLogr(a.cluster.log))
	if err != nil {
		return err
	}
	has := func(option string) bool { return slices.Contains(a.commit.Options, option) }
	foreground := metav1.DeletePropagationForeground
	context, cleanup, err := engine.NewSyncContext("revision", reconciled, a.cluster.config, a.cluster.config, a.cluster.kubectl, namespace,
		engine.WithLogr(a.cluster.log),
		engine.WithHealthOverride(a.cluster.health),
		engine.WithOperationSettings(false, a.commit.Prune, a.commit.Force, false),
		engine.WithInitialState(a.phase, a.message, a.resources, a.started),
		engine.WithPruneLast(has(common.SyncOptionPruneLast)),
		engine.WithPrunePropagationPolicy(&foreground),
		engine.WithPruneConfirmed(!a.approved.IsZero() && !a.approved.Before(a.started.Time)),
		engine.WithReplace(has(common.SyncOptionReplace)),
		engine.WithServerSideApply(has(common.SyncOptionServerSideApply)),
		engine.WithServerSideApplyManager(manager),
		engine.WithResourceModificationChecker(has(common.SyncOptionApplyOutOfSyncOnly), differences),
	)
	if err != nil {
		return err
	}
	defer cleanup()
	context.Sync()
	a.phase, a.message, a.resources = context.GetState()
	return nil
}

// objects are the objects of the commit, and those that the cluster has of this Application.
func (a *application) objects() ([]*unstructured.Unstructured, map[kube.ResourceKey]*unstructured.Unstructured, error) {
	target, err := kube.SplitYAML([]byte(a.commit.Manifests))
	if err != nil {
		return nil, nil, err
	}
	for _, object := range target {
		annotations := object.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[tracking] = a.trackingID(kube.GetResourceKey(object))
		object.SetAnnotations(annotations)
	}
	live, err := a.cluster.cache.GetManagedLiveObjs(target, func(resource *cache.Resource) bool {
		return resource.Info == a.trackingID(resource.ResourceKey())
	})
	return target, live, err
}

func (a *application) trackingID(key kube.ResourceKey) string {
	return fmt.Sprintf("%s:%s/%s:%s/%s", a.name, key.Group, key.Kind, key.Namespace, key.Name)
}

// view is what a person sees now.
func (a *application) view() (view, error) {
	a.lock.Lock()
	defer a.lock.Unlock()
	seen := view{Phase: string(a.phase), Message: a.message, Health: string(health.HealthStatusHealthy)}
	for _, resource := range a.resources {
		seen.Resources = append(seen.Resources, result{
			Kind: resource.ResourceKey.Kind, Name: resource.ResourceKey.Name,
			Status: string(resource.Status), Phase: string(resource.HookPhase), Message: resource.Message,
		})
	}
	_, live, err := a.objects()
	if err != nil {
		return view{}, err
	}
	for _, object := range live {
		verdict, err := health.GetResourceHealth(object, a.cluster.health)
		if err != nil {
			return view{}, err
		}
		// An object without a verdict does not count for the Application.
		if verdict == nil {
			continue
		}
		seen.Objects = append(seen.Objects, objectHealth{
			Kind: object.GetKind(), Name: object.GetName(), Version: object.GetResourceVersion(),
			Status: string(verdict.Status), Message: verdict.Message,
		})
		if health.IsWorse(health.HealthStatusCode(seen.Health), verdict.Status) {
			seen.Health = string(verdict.Status)
		}
	}
	return seen, nil
}

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// Argo CD ends a script that takes longer.
const scriptLimit = time.Second

// scripts are the health scripts of argocd-cm, by the key of the ConfigMap.
type scripts map[string]string

// readScripts reads the ConfigMap argocd-cm from a file.
func readScripts(file string) (scripts, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var configMap struct {
		Data scripts `json:"data"`
	}
	if err := yaml.Unmarshal(text, &configMap); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return configMap.Data, nil
}

func scriptKey(kind schema.GroupVersionKind) string {
	return "resource.customizations.health." + kind.Group + "_" + kind.Kind
}

// GetResourceHealth runs the script of the object's kind. Without a script the engine's own checks decide.
func (s scripts) GetResourceHealth(object *unstructured.Unstructured) (*health.HealthStatus, error) {
	script, found := s[scriptKey(object.GroupVersionKind())]
	if !found {
		return nil, nil
	}
	// Argo CD gives a script of argocd-cm no libraries but these, and a few functions of `os`.
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		function := lua.P{Fn: state.NewFunction(open), Protect: true}
		if err := state.CallByParam(function, lua.LString(name)); err != nil {
			return nil, err
		}
	}
	limit, cancel := context.WithTimeout(context.Background(), scriptLimit)
	defer cancel()
	state.SetContext(limit)
	state.SetGlobal("obj", toLua(state, object.Object))
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	result, isTable := state.Get(-1).(*lua.LTable)
	if !isTable {
		return nil, fmt.Errorf("the script returned %s, not a table", state.Get(-1).Type())
	}
	verdict := health.HealthStatus{Status: health.HealthStatusCode(lua.LVAsString(result.RawGetString("status")))}
	switch verdict.Status {
	case health.HealthStatusHealthy, health.HealthStatusProgressing, health.HealthStatusDegraded, health.HealthStatusSuspended:
		verdict.Message = lua.LVAsString(result.RawGetString("message"))
		return &verdict, nil
	default:
		return nil, fmt.Errorf("the script returned an unknown status: %q", verdict.Status)
	}
}

// toLua hands a value of JSON to Lua.
func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	default:
		return lua.LNil
	}
}

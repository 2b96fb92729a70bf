package suite

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// Windows are the times of the environment's gateway. Scenarios pause for multiples of
// them, since an overlay scales all of an environment's times evenly.
type Windows struct {
	// Inactivity without an alert ends a storm's window, and the wait of alerts
	// for enough others to open one.
	Inactivity time.Duration
	// Maximum ends a window however many alerts still come.
	Maximum time.Duration
	// Record is how long Redis remembers an incident that is not repeated.
	Record time.Duration
}

// DeployedWindows returns those of the environment.
func DeployedWindows() Windows { return here.windows }

// settingsFile is the key of the gateway's settings in its ConfigMap.
const settingsFile = "gateway.yaml"

// readWindows reads them from what the gateway's Deployment mounts.
func readWindows(ctx context.Context, objects ctrl.Reader, namespace string) (Windows, error) {
	fail := func(err error) (Windows, error) { return Windows{}, fmt.Errorf("read the gateway's settings: %w", err) }
	var deployment appsv1.Deployment
	if err := objects.Get(ctx, types.NamespacedName{Namespace: namespace, Name: "gateway"}, &deployment); err != nil {
		return fail(err)
	}
	for _, volume := range deployment.Spec.Template.Spec.Volumes {
		if volume.ConfigMap == nil {
			continue
		}
		var config corev1.ConfigMap
		if err := objects.Get(ctx, types.NamespacedName{Namespace: namespace, Name: volume.ConfigMap.Name}, &config); err != nil {
			return fail(err)
		}
		if settings, found := config.Data[settingsFile]; found {
			windows, err := parseWindows([]byte(settings))
			if err != nil {
				return fail(fmt.Errorf("ConfigMap %s: %w", config.Name, err))
			}
			return windows, nil
		}
	}
	return fail(fmt.Errorf("the gateway of namespace %s mounts no ConfigMap with %s", namespace, settingsFile))
}

// parseWindows requires all of them: a default of minutes would make scenarios of
// seconds wait for it.
func parseWindows(settings []byte) (Windows, error) {
	var file struct {
		Processing struct {
			Deduplication struct {
				TTL string `json:"ttl"`
			} `json:"deduplication"`
			Storm struct {
				InactivityTimeout string `json:"inactivity_timeout"`
				MaxWindowDuration string `json:"max_window_duration"`
			} `json:"storm"`
		} `json:"processing"`
	}
	if err := yaml.Unmarshal(settings, &file); err != nil {
		return Windows{}, err
	}
	var windows Windows
	for _, setting := range []struct {
		key, text string
		value     *time.Duration
	}{
		{"deduplication.ttl", file.Processing.Deduplication.TTL, &windows.Record},
		{"storm.inactivity_timeout", file.Processing.Storm.InactivityTimeout, &windows.Inactivity},
		{"storm.max_window_duration", file.Processing.Storm.MaxWindowDuration, &windows.Maximum},
	} {
		value, err := time.ParseDuration(setting.text)
		if err != nil {
			return Windows{}, fmt.Errorf("processing.%s: %w", setting.key, err)
		}
		*setting.value = value
	}
	return windows, nil
}

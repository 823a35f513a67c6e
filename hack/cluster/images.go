package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/tidegate/tidegate/hack/cluster/debian"
	"github.com/tidegate/tidegate/hack/cluster/kube"
	"github.com/tidegate/tidegate/hack/image"
)

type loadImageCommand struct {
	Archive    string   `arg:"" optional:"" help:"A docker or OCI archive." type:"existingfile"`
	Binary     string   `help:"A static program to make an image of." type:"existingfile"`
	Entrypoint string   `help:"Where the program is in the image; default is / and its name."`
	Nginx      bool     `help:"Make an image of this machine's nginx, with its libraries."`
	Name       string   `help:"The image's name, such as docker.io/local/tidegate:dev; nginx is docker.io/local/nginx:dev without one."`
	User       string   `help:"The user and group in the image." default:"65532:65532"`
	Port       []string `help:"A port that the image serves, such as 8080/tcp."`
	Output     string   `help:"Write the archive here and load nothing." type:"path"`
}

// Run makes the image, if it is not one already, and imports it.
func (l loadImageCommand) Run(s *session) error {
	archive := l.Archive
	if archive == "" {
		spec, err := l.spec(s)
		if err != nil {
			return err
		}
		archive = l.Output
		if archive == "" {
			dir, err := os.MkdirTemp("", "tidegate-image")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
			archive = filepath.Join(dir, "image.tar")
		}
		if err := spec.Write(archive); err != nil {
			return err
		}
		l.Name = spec.Name
		if l.Output != "" {
			s.say("%s written to %s", spec.Name, l.Output)
			return nil
		}
	}
	if s.kind {
		return kindLoad(s, archive)
	}
	if err := rootOnly(); err != nil {
		return err
	}
	setup, err := running(s.at)
	if err != nil {
		return err
	}
	if err := kube.Import(s.ctx, setup, archive); err != nil {
		return err
	}
	s.say("loaded %s", l.Name+l.Archive)
	return nil
}

func (l loadImageCommand) spec(s *session) (image.Spec, error) {
	var spec image.Spec
	if l.Nginx && l.Name == "" {
		l.Name = "docker.io/local/nginx:dev"
	}
	switch {
	case l.Name == "":
		return spec, errors.New("give the image a name: --name docker.io/local/tidegate:dev")
	case l.Nginx:
		if err := debian.Ensure(s.ctx, []debian.Need{debian.Nginx()}, s.out); err != nil {
			return spec, err
		}
		var err error
		if spec, err = image.Nginx(s.ctx, l.Name); err != nil {
			return spec, err
		}
	case l.Binary != "":
		entrypoint := l.Entrypoint
		if entrypoint == "" {
			entrypoint = "/" + filepath.Base(l.Binary)
		}
		spec = image.Binary(l.Name, l.Binary, entrypoint)
	default:
		return spec, errors.New("name what to load: an archive, --binary or --nginx")
	}
	spec.User, spec.Ports = l.User, append(spec.Ports, l.Port...)
	return spec, spec.Validate()
}

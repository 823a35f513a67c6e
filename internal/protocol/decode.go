package protocol

// DecodeClient reads a frame that a client sent. An error is always a *BadFrame. Nothing in the result refers to data.
func DecodeClient(data []byte) (ClientFrame, error) {
	r, fault := begin(data, MaxFrameBytes)
	if fault != nil {
		return nil, fault
	}
	frame := clientFrame(r)
	if r.fault != nil {
		return nil, r.about()
	}
	return frame, nil
}

func clientFrame(r *reader) ClientFrame {
	switch kind := r.text("type", maxTextBytes); kind {
	case typeMessage:
		return Send{ID: r.name("id", MaxIDBytes), To: r.name("to", MaxClientBytes), Payload: r.payload()}
	case typeAck:
		return Ack{Offset: r.offset(false)}
	case typeRefresh:
		return Refresh{Token: r.text("token", MaxTokenBytes)}
	case typePing:
		return Ping{}
	default:
		r.fail(badField("type", "%s is unknown: send message, ack, refresh or ping", quoteShort(kind)))
		return nil
	}
}

// DecodeServer reads a frame that a node sent, for clients written in Go. An error is always a *BadFrame. Nothing in the
// result refers to data.
func DecodeServer(data []byte) (ServerFrame, error) {
	r, fault := begin(data, MaxServerFrameBytes)
	if fault != nil {
		return nil, fault
	}
	frame := serverFrame(r)
	if r.fault != nil {
		return nil, r.about()
	}
	return frame, nil
}

func serverFrame(r *reader) ServerFrame {
	switch kind := r.text("type", maxTextBytes); kind {
	case typeWelcome:
		return Welcome{
			ClientID: r.name("clientId", MaxClientBytes), NodeID: r.name("nodeId", MaxClientBytes),
			Epoch: r.number("epoch", 1<<64-1), Resumed: r.flag("resumed"), ResumeToken: r.optional("resumeToken", MaxTokenBytes),
		}
	case typeMessage:
		return Message{
			ID: r.name("id", MaxIDBytes), From: r.name("from", MaxClientBytes),
			Offset: r.offset(false), Payload: r.payload(), TS: r.instant("ts"),
		}
	case typeAccepted:
		return Accepted{ID: r.name("id", MaxIDBytes)}
	case typeMoved:
		return Moved{URL: r.text("url", maxTextBytes)}
	case typeDrain:
		return Drain{
			Deadline: r.instant("deadline"), Reason: r.optional("reason", maxTextBytes),
			RetryAfter: r.millis("retryAfterMs"), URL: r.optional("url", maxTextBytes),
		}
	case typeError:
		return Error{
			Code: r.name("code", MaxIDBytes), Message: r.optional("message", maxTextBytes),
			ID: r.optional("id", MaxIDBytes), RetryAfter: r.millis("retryAfterMs"),
		}
	case typePong:
		return Pong{Offset: r.offset(true)}
	default:
		r.fail(badField("type", "%s is unknown to this client", quoteShort(kind)))
		return nil
	}
}

func begin(data []byte, limit int) (*reader, *BadFrame) {
	o, fault := parse(data, limit)
	if fault != nil {
		return nil, fault
	}
	return &reader{o: o}, nil
}

// about is the fault with the id of the message it is about, when there is a good one.
func (r *reader) about() *BadFrame {
	fault := *r.fault
	rest := reader{o: r.o}
	if id := rest.name("id", MaxIDBytes); rest.fault == nil {
		fault.ID = id
	}
	return &fault
}

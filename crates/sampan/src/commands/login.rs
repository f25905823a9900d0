//! `sampan login` and `sampan logout`.

use crate::cli::{Globals, Login, Logout};
use crate::ui::{self, Failure, Ui};
use engine::remote::{Access, Credentials, login as kept};
use std::io::{BufRead, IsTerminal, Read};

const HUB: &str = "docker.io";

/// # Errors
/// [`Failure`] when the registry does not know the user, or there is nobody to ask.
pub fn login(arguments: &Login, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let host = host(arguments.registry.as_deref())?;
    let access = arguments.access.access();
    if arguments.get_login {
        return get_login(&access, &host);
    }
    let paths = super::paths(globals)?;
    let given = [&arguments.username, &arguments.password].iter().any(|word| word.is_some());
    if !given && !arguments.password_stdin && arguments.access.creds.is_none() {
        // docker: what is kept is tried first.
        if let Some(credentials) = kept::kept(&access, &host)? {
            ui.info("Authenticating with existing credentials...");
            kept::check(&paths, &access, &host, credentials)?;
            return ui::print("Login Succeeded\n");
        }
    }
    let (user, password) = who(arguments, ui)?;
    if let Some(file) = kept::login(&paths, &access, &host, &user, &password)? {
        ui.warn(&format!("the password lies in {}, not encrypted; a credsStore there names a helper", file.display()));
    }
    ui::print("Login Succeeded\n")
}

fn get_login(access: &Access, host: &str) -> Result<(), Failure> {
    match kept::kept(access, host)? {
        Some(Credentials::Password { user, .. }) => ui::print(&format!("{}\n", ui::clean(&user))),
        Some(Credentials::Token(_)) => ui::print("<token>\n"),
        None => Err(Failure::new(format!("cannot find a login for {host}")).cause("none is kept").hint("sampan login")),
    }
}

fn who(arguments: &Login, ui: &Ui) -> Result<(String, String), Failure> {
    if let Some(Credentials::Password { user, password }) = &arguments.access.creds {
        return Ok((user.clone(), password.clone()));
    }
    if arguments.password.is_some() && arguments.password_stdin {
        return Err(Failure::new("cannot combine --password with --password-stdin").cause("each is the password"));
    }
    if arguments.password_stdin && arguments.username.is_none() {
        return Err(Failure::new("cannot log in")
            .cause("the input is the password, so nobody can be asked for the user")
            .hint("add --username"));
    }
    let user = match &arguments.username {
        Some(user) => user.clone(),
        None => ask("Username: ")?,
    };
    if user.is_empty() || user.contains(':') {
        return Err(
            Failure::new(format!("cannot log in as {user:?}")).cause("a user's name is not empty and has no colon")
        );
    }
    let password = match &arguments.password {
        Some(password) => {
            ui.warn("a password in the arguments is seen by all who list processes; --password-stdin is not");
            password.clone()
        }
        None if arguments.password_stdin => piped()?,
        None => {
            at_terminal()?;
            ui::prompt("Password: ");
            let typed = kept::ask_password();
            ui::prompt("\n");
            typed?
        }
    };
    if password.is_empty() {
        return Err(Failure::new("cannot log in").cause("the password is empty"));
    }
    Ok((user, password))
}

/// Without the newline that echo puts behind it.
fn piped() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut text);
    read.map_err(|error| Failure::new("cannot read the password").cause(error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask(question: &str) -> Result<String, Failure> {
    at_terminal()?;
    ui::prompt(question);
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::new("cannot read the user's name").cause(error))?;
    Ok(line.trim().to_owned())
}

fn at_terminal() -> Result<(), Failure> {
    if std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err(Failure::new("cannot log in")
        .cause("the input is no terminal, so nobody can be asked")
        .hint("use --username and --password-stdin"))
}

/// # Errors
/// [`Failure`] when the file cannot be written.
pub fn logout(arguments: &Logout) -> Result<(), Failure> {
    let access = Access { authfile: arguments.authfile.clone(), ..Access::default() };
    let hosts = if arguments.all { kept::hosts(&access)? } else { vec![host(arguments.registry.as_deref())?] };
    for host in hosts {
        let known = kept::logout(&access, &host)?;
        let said = if known { "Removing login credentials for" } else { "Not logged in to" };
        ui::print(&format!("{said} {}\n", ui::clean(&host)))?;
    }
    Ok(())
}

/// The host of what people write: an address, or a repository.
fn host(registry: Option<&str>) -> Result<String, Failure> {
    let Some(text) = registry else { return Ok(HUB.to_owned()) };
    let bare = text.trim_start_matches("https://").trim_start_matches("http://");
    let host = bare.split('/').next().unwrap_or_default();
    match host {
        "index.docker.io" | "registry-1.docker.io" => Ok(HUB.to_owned()),
        _ if format!("{host}/x").parse::<spec::Reference>().is_ok_and(|name| name.registry() == host) => {
            Ok(host.to_owned())
        }
        _ => Err(Failure::new(format!("cannot log in to {text:?}"))
            .cause("that is no host of a registry")
            .hint("write HOST or HOST:PORT")),
    }
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn a_registry_is_a_host() {
        assert_eq!(host(None).unwrap(), "docker.io");
        assert_eq!(host(Some("https://index.docker.io/v1/")).unwrap(), "docker.io");
        assert_eq!(host(Some("quay.example")).unwrap(), "quay.example");
        assert_eq!(host(Some("127.0.0.1:5000/a")).unwrap(), "127.0.0.1:5000");
        assert!(host(Some("nothing")).is_err() && host(Some("")).is_err());
    }
}
